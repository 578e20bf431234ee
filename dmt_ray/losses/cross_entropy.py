"""The weighted cross-entropy of labelled and pseudo-labelled pixels together (DMT, Eq. 4-6)."""

import torch
from torch import Tensor

from dmt_ray import IGNORE


def cross_entropy_sum(log_probs: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Sum of weight times cross-entropy, the numerator of Eq. 3-6; its gradient flows through ``log_probs`` only.

    A step divides it by the number of labels of all workers that are not `IGNORE`: a label of weight 0 adds nothing to
    the sum but stays in the denominator, so a rule that trusts little also takes small steps.

    Args:
        log_probs: Log-softmax, float32 ``[N, K, H, W]`` or ``[N, K]``.
        labels: Classes ``0..K-1`` or `IGNORE`, int64 ``[N, H, W]`` or ``[N]``. `IGNORE` adds nothing.
        weights: float32, of the shape of ``labels``. Detached here.

    Returns:
        float32 scalar.
    """
    valid = labels != IGNORE
    return -(of_label(log_probs, labels, valid) * torch.where(valid, weights.detach(), 0.0)).sum()


def check_pixels(scores: Tensor, labels: Tensor) -> None:
    """Raise ValueError if scores ``[N, K, ...]`` and labels ``[N, ...]`` are not of the same pixels."""
    if scores.shape[:1] + scores.shape[2:] != labels.shape:
        raise ValueError(
            f"scores [N, K, ...] and labels [N, ...] must cover the same pixels, "
            f"but got {tuple(scores.shape)} and {tuple(labels.shape)}"
        )


def of_label(scores: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
    """Each pixel's score of its own label; the score of class 0 where the label is not valid."""
    return scores.gather(1, torch.where(valid, labels, 0).unsqueeze(1)).squeeze(1)
