"""What metrics, image sets and selection rules are called, and how scores are written, wherever people read them."""

from collections.abc import Sequence

import numpy as np

from dmt_ray.plan.measures import MEASURES, Measure
from dmt_ray.results.quality import NATS
from dmt_ray.results.statistics import mean_and_sd

METRICS = {
    **{str(measure): name for measure, name in MEASURES.items()},
    "pixel_accuracy": "pixel accuracy",
    "fine_grained": "fine-grained accuracy",
    "dice": "Dice",
    "frequency_weighted_iou": "frequency-weighted IoU",
    "boundary_iou": "boundary IoU",
    "ece": "ECE",
    "brier": "Brier score",
    "nll": "NLL",
}
_OF_PROBABILITIES = ("ece", "brier", "nll")
METRICS_OF: dict[Measure, tuple[str, ...]] = {  # what there is beside the classes' own scores
    "miou": ("miou", "pixel_accuracy", "dice", "frequency_weighted_iou", "boundary_iou", *_OF_PROBABILITIES),
    "accuracy": ("accuracy", "fine_grained", *_OF_PROBABILITIES),
}
METRIC_NOTES = {  # what a table says of a metric
    "boundary_iou": "Boundary IoU: of the pixels at most 2 % of the image's diagonal from the rim of their region.",
    "ece": "ECE: expected calibration error in 15 equally wide bins of the confidence. Less is better.",
    "brier": "Brier score: squared distance of the probabilities from the right answer, 0 to 200 %. Less is better.",
    "nll": "NLL: mean of -log(probability of the right class). Less is better.",
}
# What records call the scored images -> what people call them.
IMAGES = {"selection": "validation", "reported": "test"}
RULES = {"last": "last", "val": "validation", "paper": "best on the test set"}
# What a table may have a column for: under no rule, A and B may also be scored as one.
COLUMNS = {"last": RULES["last"], "ensemble": "ensemble of A and B"} | RULES
NOTHING_CHOSEN = ("last", "ensemble")
RULES_IN_FULL = {
    "last": "after the last iteration, mean of the models",
    "ensemble": "after the last iteration, A and B together",
    "val": "best model on the validation images",
    "paper": "best model on the test images (biased upwards)",
}
METHODS = {  # name of a method -> what the papers' tables call it
    "baseline": "Baseline",
    "oracle": "Oracle",
    "online_st": "Online ST",
    "pseudo_label": "Pseudo-Label",
    "cbst": "CBST",
    "dst": "DST",
    "dst_double": "DST, twice the steps",
    "dmt": "DMT",
    "dmt_naive": "DMT-Naive",
    "dmt_flip": "DMT-Flip",
    "curriculum": "CL",
    "classical_st": "Self-training",
    "mean_teacher": "Mean Teacher",
    "fixmatch": "FixMatch",
    "unimatch": "UniMatch",
    "unimatch_v2": "UniMatch V2",
    "cps": "CPS",
    "direct_mutual": "Direct mutual learning",
    "iml": "IML",
    "rml": "RML",
    "rwms": "RWMS",
}
HISTORIES = {  # column of a history -> title of its chart and label of its axis
    "loss": ("Loss", "weighted cross-entropy (nats)"),
    "agreement": ("Student and pseudo label agree", "share of pseudo-labelled pixels (%)"),
    "mean_weight": ("Mean weight of a pseudo label", "weight (0 to 1)"),
    "pseudo_accuracy": ("Accuracy of the pseudo labels", "share that is right (%)"),
    "total_variation": ("Total variation between the teachers", "distance (0 to 1)"),
}
NONE = "–"


def in_units(metric: str) -> str:
    """A metric with the unit in which tables and figures write it, "mIoU (%)": everything is written times 100."""
    return f"{METRICS.get(metric, metric)} ({'nats × 100' if metric in NATS else '%'})"


def percent(fraction: float) -> str:
    """0.67154 as 67.15."""
    return f"{100 * fraction:z.2f}"


def mean_text(values: Sequence[float], count: str = "") -> str:
    """Mean ± sample standard deviation of fractions, in percent: "67.15 ± 0.42 (n=3)"; "–" where there are none.

    Args:
        values: Fractions.
        count: What stands in brackets instead of the number of values.
    """
    if not len(values):
        return NONE
    mean, sd = mean_and_sd(values)
    spread = "" if np.isnan(sd) else f" ± {percent(sd)}"
    return f"{percent(mean)}{spread} ({count or f'n={len(values)}'})"


def would_do(seeds: int | None) -> str:
    """What an open comparison would take: "about 31 seeds would do"."""
    return f"{'more than 1,000' if seeds is None else f'about {seeds}'} seeds would do"
