"""A weight rule as somebody adds one: a file such as this one in `losses.rules`, and a class in `config.weights`."""

import torch

from dmt_ray.losses.weighting import END, Comparison, Moment, Target


def half(seen: Comparison, *, scale: float, moment: Moment = END) -> Target:
    """Every pseudo label gets a weight of half of ``scale``."""
    return Target(seen.labels, seen.valid.to(torch.float32) * scale / 2)
