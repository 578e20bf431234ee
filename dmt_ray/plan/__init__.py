"""Plans are expressions: operations on settings and on each other; their keys, and what each of them reads."""

from dmt_ray.plan.plan import Operation, Plan, Rung, Stage, common_stages, describe, in_order, waves
from dmt_ray.plan.slice import Evictable, ImageCounts, NewModelSlice, Slice, TrainingSlice

__all__ = [
    "Evictable",
    "ImageCounts",
    "NewModelSlice",
    "Operation",
    "Plan",
    "Rung",
    "Slice",
    "Stage",
    "TrainingSlice",
    "common_stages",
    "describe",
    "in_order",
    "waves",
]
