"""The papers' mathematics, one file a subject: nothing here knows data, plans or training loops."""

from dmt_ray.losses.cross_entropy import cross_entropy_sum, weighted_cross_entropy
from dmt_ray.losses.mixing import mix, mixed_cross_entropy_sum, mixing_share
from dmt_ray.losses.step import (
    STATISTICS,
    StepLoss,
    StepTargets,
    step_loss,
    step_targets,
)
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
    "Parameters",
    "Rule",
    "StepLoss",
    "StepTargets",
    "Target",
    "compare",
    "cross_entropy_sum",
    "disagreement",
    "dynamic_weight",
    "flip",
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
    "step_targets",
    "uniform",
    "weighted_cross_entropy",
]
