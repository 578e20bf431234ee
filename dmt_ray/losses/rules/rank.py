"""RWMS: a pseudo label is weighted by its rank in another teacher's prediction."""

import torch

from dmt_ray.losses.weighting import END, Comparison, Moment, Target


def rank(seen: Comparison, *, a: float, b: float, moment: Moment = END) -> Target:
    """Weight by the rank x of the label in another teacher's prediction: ``a exp(-b (x - 1))`` (RWMS, Eq. 4).

    The confidence of the comparison stands for the rank, in units of 1/255: both are stored as a byte. The student has
    no influence, and the three cases mean nothing.
    """
    places = (seen.confidence * 255).round() - 1
    return Target(seen.labels, torch.where(seen.valid, a * torch.exp(-b * places), 0.0))
