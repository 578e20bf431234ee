"""Scores beside the measure: of regions, of boundaries and of probabilities, from what an evaluation records.

Records of earlier versions hold the confusion matrix alone: from it come Dice and frequency-weighted IoU. What they
lack is left out here, and shown as missing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dmt_ray.plan import Stage
from dmt_ray.plan.measures import measure_in

LOWER = frozenset({"ece", "brier", "nll"})
"""The metrics of which less is better."""
NATS = frozenset({"nll"})
"""The metrics that are no fractions."""


def quality(values: Mapping[str, Any], classes: Sequence[int] = ()) -> dict[str, float]:
    """Scores of an evaluation of some images, by metric; all are pooled over the set.

    From the confusion matrix, in segmentation alone, with t pixels of class k in the truth, p predicted and h in both::

        dice                    mean over classes of 2 h / (t + p)
        frequency_weighted_iou  sum over classes of t / (all t) * h / (t + p - h)        Long et al. 2015, Sec. 5
        boundary_iou            mean over classes of the IoU of their boundary pixels    Cheng et al. 2021, Eq. 4

    The boundary of a class consists of its pixels that are at most 2 % of the image's diagonal away from a pixel of
    another class, from the rim or from an unknown pixel. Means over classes are over those that occur, as in mIoU.
    From the probabilities, with c the confidence of a decision, in all pixels that are judged::

        ece    sum over 15 equally wide bins of c of |right - sum of c| / pixels         Guo et al. 2017, Eq. 3
        brier  mean of the sum over classes of (probability - is it the class) ** 2      0 to 2
        nll    mean of -log(probability of the right class), in nats; at most 1024 a pixel

    Args:
        values: What the evaluation recorded of these images.
        classes: Of these alone are the means over classes; none: all that occur.

    Returns:
        Those of these metrics that the record allows.
    """
    found: dict[str, float] = {}
    if measure_in(values) != "accuracy" and "confusion" in values:
        matrix = np.array(values["confusion"], dtype=np.float64)
        hits, truth, predicted = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
        with np.errstate(invalid="ignore"):
            dice, iou = 2 * hits / (truth + predicted), hits / (truth + predicted - hits)
        found["dice"] = _mean(dice, classes)
        found["frequency_weighted_iou"] = float(np.nansum(truth * iou) / truth.sum())
    if "boundary" in values:
        found["boundary_iou"] = _mean(np.array(values["boundary"]["iou"], dtype=np.float64), classes)
    if "reliability" in values:
        bins = reliability_bins(values)
        found["ece"] = float((bins["right"] - bins["confidence"]).abs().sum() / bins["count"].sum())
    return found | {name: float(values[name]) for name in ("brier", "nll") if name in values}


def means_over(evaluation: Stage, names: Sequence[str]) -> list[int]:
    """The classes over which the means of an evaluation are, by their numbers; none: all that occur."""
    return [names.index(name) for name in getattr(evaluation.config, "scored", ()) if name in names]


def reliability_bins(values: Mapping[str, Any]) -> pd.DataFrame:
    """The bins of a reliability diagram (Guo et al. 2017, Sec. 2), for any number of equally wide bins of (0, 1].

    Returns:
        A line a bin: count (pixels), right (how many of them are right) and confidence (the sum of theirs).
    """
    return pd.DataFrame(values["reliability"], columns=["count", "right", "confidence"])


def _mean(values: NDArray[np.float64], classes: Sequence[int]) -> float:
    chosen = values[list(classes)] if classes else values
    known = chosen[np.isfinite(chosen)]
    return float(known.mean()) if len(known) else float("nan")
