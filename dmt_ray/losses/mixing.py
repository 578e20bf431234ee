"""mixup with dynamic weights (Zhang et al. 2018; DMT, Sec. 5.2.2): images, labels and weights are mixed alike."""

import torch
from scipy.special import betaincinv
from torch import Tensor

from dmt_ray import IGNORE
from dmt_ray.losses.cross_entropy import cross_entropy_sum
from dmt_ray.losses.weighting import Target


def mixing_share(number: float, alpha: float) -> float:
    """lambda of mixup, drawn from Beta(alpha, alpha), and of it and 1 - lambda the larger: in ``[0.5, 1]``.

    Args:
        number: Uniform in ``[0, 1)``.
        alpha: Above 0; DMT has 0.75.
    """
    # The distribution is symmetric: the larger of both has the upper half of its quantiles.
    return float(betaincinv(alpha, alpha, (1 + number) / 2))


def mix(own: Tensor, partners: Tensor, share: float) -> Tensor:
    """``lambda * own + (1 - lambda) * partners``, of any shape; ``share`` is lambda."""
    return partners.lerp(own, share)


def mixed_cross_entropy_sum(log_probs: Tensor, own: Target, partners: Target, *, share: float) -> Tensor:
    r"""Sum of weighted cross-entropy of mixed images, with the dynamic weights mixed as well (DMT, Sec. 5.2.2).

    With i an image, j its partner, and lambda the share of i in the mixed image, of which the log-softmax is, the
    mixed weight multiplies the mixed cross-entropy::

        sum over i of  (lambda * w_i + (1 - lambda) * w_j) * (lambda * CE(y_i) + (1 - lambda) * CE(y_j))

    The weights were measured on the images as they are. A label that is `IGNORE` has neither weight nor cross-entropy.
    As in Eq. 3-6 the sum is to be divided by the number of labels.

    Args:
        log_probs: Of the mixed images, float32 ``[N, K, H, W]`` or ``[N, K]``.
        own: Labels and weights of i, each ``[N, H, W]`` or ``[N]``.
        partners: Labels and weights of j, likewise.
        share: lambda.

    Returns:
        float32 scalar; its gradient flows through ``log_probs`` only.
    """
    mine, others = (torch.where(part.labels == IGNORE, 0.0, part.weights) for part in (own, partners))
    weights = mix(mine, others, share)
    first, second = (cross_entropy_sum(log_probs, part.labels, weights) for part in (own, partners))
    return share * first + (1 - share) * second
