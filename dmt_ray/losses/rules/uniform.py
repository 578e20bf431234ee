"""CBST: every pseudo label counts the same."""

import torch

from dmt_ray.losses.weighting import END, Comparison, Moment, Target


def uniform(seen: Comparison, *, moment: Moment = END) -> Target:
    """Every pseudo label has weight 1 (CBST, DMT, Sec. 5.4)."""
    return Target(seen.labels, seen.valid.to(torch.float32))
