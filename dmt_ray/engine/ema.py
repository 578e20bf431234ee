"""A moving average of a network's weights: a mean teacher (Tarvainen & Valpola 2017), or what is scored in the end."""

import copy

import torch
from torch import nn

from dmt_ray.config import Training


def average_of(network: nn.Module) -> nn.Module:
    """A copy of a network as it is, in eval mode, that no gradient changes."""
    averaged = copy.deepcopy(network).eval()
    for parameter in averaged.parameters():
        parameter.requires_grad_(False)
    return averaged


@torch.no_grad()
def move_average(averaged: nn.Module, network: nn.Module, decay: float) -> None:
    """One step of the average: ``decay`` of what it was, the rest of what the network is now.

    The running statistics of BatchNorm are averaged like weights, so that they fit the averaged weights; what counts in
    whole numbers is taken over.

    Args:
        averaged: From `average_of`; changed in place.
        network: The network in training.
        decay: In ``[0, 1)``; 0 copies the network.
    """
    now, before = network.state_dict(), averaged.state_dict()
    moving = [name for name, value in before.items() if value.is_floating_point()]
    torch._foreach_lerp_([before[name] for name in moving], [now[name] for name in moving], 1 - decay)
    for name in before.keys() - set(moving):
        before[name].copy_(now[name])


def decay_of(training: Training, step: int) -> float:
    """Decay of the moving average of the weights in step 0, 1, ...: at most `training.ema`.

    At first it is less, ``(1 + step) / (10 + step)``, so that the average forgets the first weights in short trainings
    too (as TensorFlow's moving average does when it is given the step).
    """
    return min(training.ema, (1 + step) / (10 + step))
