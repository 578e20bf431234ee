"""The weighted cross-entropy of labelled and pseudo-labelled pixels together."""

import torch
from torch import Tensor

from dmt_ray import IGNORE
from dmt_ray.losses.pixels import check_pixels, of_label


def cross_entropy_sum(log_probs: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Sum of weight times cross-entropy, the numerator of Eq. 3-6; its gradient flows through ``log_probs`` only.

    A step on several workers divides it by the number of labels of *all* workers, hence a function of its own.

    Args:
        log_probs: Log-softmax, float32 ``[N, K, H, W]`` or ``[N, K]``.
        labels: Classes ``0..K-1`` or `IGNORE`, int64 ``[N, H, W]`` or ``[N]``. `IGNORE` adds nothing.
        weights: float32, of the shape of ``labels``. Detached here.

    Returns:
        float32 scalar.
    """
    valid = labels != IGNORE
    return -(of_label(log_probs, labels, valid) * torch.where(valid, weights.detach(), 0.0)).sum()


def weighted_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Weighted cross-entropy over labelled and pseudo-labelled pixels together (DMT, Eq. 4-6).

    ``sum(w * CE) / number of labels that are not IGNORE``: a label of weight 0 adds nothing to the sum but stays in the
    denominator, so a rule that trusts little also takes small steps. Computed in float32, under autocast too.

    Args:
        logits: ``[N, K, H, W]`` or ``[N, K]``, any floating type.
        labels: Classes ``0..K-1`` or `IGNORE`, int64 ``[N, H, W]`` or ``[N]``.
        weights: float32, of the shape of ``labels``.

    Returns:
        float32 scalar; 0 with a zero gradient if every label is `IGNORE`.

    Raises:
        ValueError: If logits, labels and weights do not cover the same pixels.
    """
    check_pixels(logits, labels)
    if labels.shape != weights.shape:
        raise ValueError(
            f"labels and weights must cover the same pixels, but got {tuple(labels.shape)} and {tuple(weights.shape)}"
        )
    total = cross_entropy_sum(torch.log_softmax(logits.float(), dim=1), labels, weights)
    return total / (labels != IGNORE).sum().clamp(min=1)
