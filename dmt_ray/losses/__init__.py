"""The papers' mathematics, one file a subject: nothing here knows data, plans or training loops."""

from dmt_ray.losses.cross_entropy import cross_entropy_sum, weighted_cross_entropy
from dmt_ray.losses.mixing import mix, mixed_cross_entropy_sum, mixing_share
from dmt_ray.losses.rules import bind
from dmt_ray.losses.rules.disagreement import dynamic_weight
from dmt_ray.losses.step import STATISTICS, StepLoss, StepTargets, step_loss, step_targets
from dmt_ray.losses.weighting import Comparison, Moment, Rule, Target, compare

__all__ = [
    "STATISTICS",
    "Comparison",
    "Moment",
    "Rule",
    "StepLoss",
    "StepTargets",
    "Target",
    "bind",
    "compare",
    "cross_entropy_sum",
    "dynamic_weight",
    "mix",
    "mixed_cross_entropy_sum",
    "mixing_share",
    "step_loss",
    "step_targets",
    "weighted_cross_entropy",
]
