"""The papers' mathematics, one file a subject: nothing here knows data, plans or training loops."""

from dmt_ray.losses.cross_entropy import cross_entropy_sum, weighted_cross_entropy
from dmt_ray.losses.mixing import mix, mixed_cross_entropy_sum, mixing_share
from dmt_ray.losses.step import STATISTICS, Lesson, StepLoss, disagreement_counts, lesson_of, step_loss, summarise
from dmt_ray.losses.weighting import (
    RULES,
    Comparison,
    Parameters,
    Rule,
    Target,
    compare,
    disagreement,
    dynamic_weight,
    flip,
    naive,
    online,
    ramp,
    rank,
    rising,
    rising_weight,
    uniform,
)

__all__ = [
    "RULES",
    "STATISTICS",
    "Comparison",
    "Lesson",
    "Parameters",
    "Rule",
    "StepLoss",
    "Target",
    "compare",
    "cross_entropy_sum",
    "disagreement",
    "disagreement_counts",
    "dynamic_weight",
    "flip",
    "lesson_of",
    "mix",
    "mixed_cross_entropy_sum",
    "mixing_share",
    "naive",
    "online",
    "ramp",
    "rank",
    "rising",
    "rising_weight",
    "step_loss",
    "summarise",
    "uniform",
    "weighted_cross_entropy",
]
