"""DMT-Naive: a pseudo label is weighted by the student's confidence alone."""

import torch

from dmt_ray.losses.weighting import END, Comparison, Moment, Target, ramped


def confidence(seen: Comparison, *, gamma1: float, ramp: bool = False, moment: Moment = END) -> Target:
    """Weight by ``p[y] ** gamma1``, whichever model is more confident (DMT, Sec. 5.4)."""
    return Target(seen.labels, torch.where(seen.valid, seen.likelihood ** ramped(gamma1, ramp, moment), 0.0))
