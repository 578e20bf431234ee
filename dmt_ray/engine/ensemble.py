"""Ensemble: score models A and B together, by the mean of their class probabilities."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from dmt_ray import models
from dmt_ray.config import SIDES
from dmt_ray.data.images import Images
from dmt_ray.engine.evaluate import load, score_both, write
from dmt_ray.engine.inference import WholeImages
from dmt_ray.engine.workspace import Workspace
from dmt_ray.plan.operations.ensemble import Ensemble


def ensemble(config: Ensemble, work: Workspace) -> int:
    """Score the models in ``work.inputs["A"]`` and ``work.inputs["B"]`` together; writes metrics.json.

    Returns:
        Number of images.
    """
    sides = zip(SIDES, config.members, strict=True)
    loaded = [load(work, side, member or models.MODEL, averaged=config.averaged) for side, member in sides]

    def together(images: Images) -> Together:
        return Together([WholeImages(network, work, images, models.title(text)) for network, text in loaded])

    count, scores = score_both(config, work, together)
    write(work, scores)
    return count


class Together:
    """Several networks on the images of a subset, as one."""

    def __init__(self, members: Sequence[WholeImages]) -> None:
        self._members = members

    def logits(self, chosen: Sequence[int]) -> Tensor:
        """The logarithm of the mean of their probabilities, float32 ``[N, K, H, W]``, whose softmax is that mean."""
        logs = [member.logits(chosen).float().log_softmax(dim=1) for member in self._members]
        return torch.stack(logs).logsumexp(dim=0) - math.log(len(logs))

    def masks(self, chosen: Sequence[int]) -> Tensor:
        """True masks, uint8 ``[N, H, W]``."""
        return self._members[0].masks(chosen)

    def check(self) -> None:
        """Make sure that the logits of all networks were finite."""
        for member in self._members:
            member.check()
