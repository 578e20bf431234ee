"""Labels of pixels, and scores of labels."""

import torch
from torch import Tensor


def check_pixels(scores: Tensor, labels: Tensor) -> None:
    """Refuse scores ``[N, K, ...]`` and labels ``[N, ...]`` of other pixels.

    Raises:
        ValueError: With both shapes.
    """
    if scores.shape[:1] + scores.shape[2:] != labels.shape:
        raise ValueError(
            f"scores [N, K, ...] and labels [N, ...] must cover the same pixels, "
            f"but got {tuple(scores.shape)} and {tuple(labels.shape)}"
        )


def of_label(scores: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
    """Each pixel's score of its own label; the score of class 0 where the label is not valid."""
    return scores.gather(1, torch.where(valid, labels, 0).unsqueeze(1)).squeeze(1)
