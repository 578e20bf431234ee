"""The measures of models, and their names for people."""

from collections.abc import Mapping
from typing import Any, Literal

from dmt_ray.config import Data

Measure = Literal["miou", "accuracy"]
MEASURES: Mapping[Measure, str] = {"miou": "mIoU", "accuracy": "accuracy"}
"""What is searched for, chosen by and shown first, in segmentation and in classification -> its name for people."""


def measure_of(data: Data) -> Measure:
    """The measure for models on these data."""
    return "accuracy" if data.task == "classification" else "miou"


def measure_in(scores: Mapping[str, Any]) -> Measure:
    """What an evaluation of some images measured its model by; before classification there was only mIoU."""
    measure: Measure = scores.get("measure", "miou")
    return measure


def headline(scores: Mapping[str, Any]) -> float:
    """The measure, in [0, 1], in an evaluation of some images."""
    return float(scores[measure_in(scores)])
