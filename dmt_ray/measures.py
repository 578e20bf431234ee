"""What models are measured by, and its name for people."""

from collections.abc import Mapping
from typing import Literal

from dmt_ray.config import Data

Measure = Literal["miou", "accuracy"]
MEASURES: Mapping[Measure, str] = {"miou": "mIoU", "accuracy": "accuracy"}
"""What is searched for, chosen by and shown first, in segmentation and in classification -> its name for people."""


def measure_of(data: Data) -> Measure:
    """What models on these data are measured by."""
    return "accuracy" if data.task == "classification" else "miou"
