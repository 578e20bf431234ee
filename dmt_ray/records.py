"""Read scores and histories back from the store: what searches maximise, and what tables and figures show."""

import json
from collections.abc import Mapping
from typing import Any, Literal

import pandas as pd

from dmt_ray.plan import Rung, Stage
from dmt_ray.store import Store

Which = Literal["selection", "reported"]


def metrics(store: Store, evaluation: Stage) -> Mapping[str, Any]:
    """What an evaluate stage wrote: {"selection": scores, "reported": scores}."""
    found: Mapping[str, Any] = json.loads((store.open(evaluation) / "metrics.json").read_text(encoding="utf-8"))
    return found


def miou(store: Store, evaluation: Stage, which: Which = "selection") -> float:
    """mIoU in [0, 1] of an evaluate stage, on the images that select or on those that are reported."""
    return float(metrics(store, evaluation)[which]["miou"])


def rung_score(store: Store, rung: Rung, which: Which = "selection") -> float:
    """mIoU in [0, 1] of a rung: the mean over its models.

    The mean, not the better of the two: choosing between A and B would add the luck of the choice to every trial.
    """
    return sum(miou(store, evaluation, which) for evaluation in rung.values()) / len(rung)


def history(store: Store, stage: Stage) -> pd.DataFrame:
    """The history of a pretrain or finetune stage: a row for every five steps, or for a fiftieth of a long stage."""
    return pd.read_csv(store.open(stage) / "history.csv")


def summary(store: Store, labelling: Stage) -> Mapping[str, Any]:
    """What a label stage says of its labels: coverage per class and, where the truth is known, accuracy."""
    found: Mapping[str, Any] = json.loads((store.open(labelling) / "summary.json").read_text(encoding="utf-8"))
    return found
