"""DMT-Flip: where the student is more confident, it learns its own class."""

import torch

from dmt_ray.losses.rules.disagreement import disagreement
from dmt_ray.losses.weighting import END, Comparison, Moment, Target, ramped


def flip(seen: Comparison, *, gamma1: float, gamma2: float, ramp: bool = False, moment: Moment = END) -> Target:
    """Like `disagreement`, but in positive disagreement the label is the student's class (DMT, Sec. 5.4).

    Such a pixel weighs ``(1 - c) ** gamma2``, c the teacher's confidence; the paper prints the exponent 2.
    """
    weights = disagreement(seen, gamma1=gamma1, gamma2=gamma2, ramp=ramp, moment=moment).weights
    return Target(
        torch.where(seen.positive, seen.student_labels(), seen.labels),
        torch.where(seen.positive, (1 - seen.confidence) ** ramped(gamma2, ramp, moment), weights),
    )
