"""What one view of an image teaches another: CutMix, current labels, and squared differences.

RML, Eq. 2-5; Mean Teacher with CutMix (French et al. 2020); FixMatch (Sohn et al. 2020); CPS (Chen et al. 2021).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dmt_ray import IGNORE
from dmt_ray.losses.cross_entropy import cross_entropy_sum

BOX_SHARE = 0.5  # of an image's area that CutMix takes from another (French et al. 2020)


def cutmix_boxes(draws: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Where each image is replaced by another one: a box of half the area, of any shape and anywhere inside.

    The height is uniform on a logarithmic scale between half the image and all of it, and the width follows.

    Args:
        draws: ``[N, 3]`` in ``[0, 1)``: for the shape, the row and the column.
        size: Height and width of the images.

    Returns:
        bool ``[N, *size]``, true inside the box.

    Raises:
        ValueError: If the draws have another shape.
    """
    if draws.ndim != 2 or draws.shape[1] != 3:
        raise ValueError(f"draws must be [N, 3], but got {list(draws.shape)}")
    tall = BOX_SHARE ** draws[:, 0]
    inside = []
    for side, share, place in ((size[0], tall, draws[:, 1]), (size[1], BOX_SHARE / tall, draws[:, 2])):
        length = np.rint(side * share)
        first = np.floor(place * (side - length + 1))
        pixels = np.arange(side)
        inside.append((pixels >= first[:, None]) & (pixels < (first + length)[:, None]))
    rows, columns = inside
    boxes: NDArray[np.bool_] = rows[:, :, None] & columns[:, None, :]
    return boxes


def paste(boxes: Tensor, own: Tensor, others: Tensor) -> Tensor:
    """The others inside the boxes, and one's own outside.

    Args:
        boxes: bool ``[N, H, W]``.
        own: ``[N, H, W]`` or ``[N, C, H, W]``, any type.
        others: Of the shape and type of ``own``.
    """
    return torch.where(boxes if own.dim() == boxes.dim() else boxes.unsqueeze(1), others, own)


def label_loss_sum(log_probs: Tensor, labels: Tensor, confidence: Tensor, *, threshold: float) -> Tensor:
    """Cross-entropy with a teacher's classes where its confidence exceeds a threshold (RML, Eq. 2), summed over pixels.

    Args:
        log_probs: Student log-softmax, float32 ``[N, K, H, W]``.
        labels: The teacher's classes, int64 ``[N, H, W]``, or `IGNORE`.
        confidence: The teacher's highest probability, float32 ``[N, H, W]``.
        threshold: In ``[0, 1]``.

    Returns:
        float32 scalar. To be divided by the number of pixels that are not `IGNORE`, sure or not: Eq. 2 is a mean.
    """
    return cross_entropy_sum(log_probs, labels, (confidence > threshold).float())


def squared_loss_sum(probs: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
    """Squared difference of two distributions, summed over classes and pixels (French et al. 2020).

    Args:
        probs: Student softmax, float32 ``[N, K, H, W]``; the gradient flows through it alone.
        targets: The teacher's probabilities, float32 ``[N, K, H, W]``.
        valid: bool ``[N, H, W]``; other pixels add nothing.
    """
    return (((probs - targets.detach()) ** 2).sum(dim=1) * valid).sum()


def total_variation_sum(first: Tensor, second: Tensor, valid: Tensor) -> Tensor:
    """How far two models are apart: half the sum of absolute differences of a pixel's probabilities (RML, Fig. 2).

    0 where they say the same, 1 where neither believes anything that the other one does.

    Args:
        first: Probabilities, float32 ``[N, K, H, W]``.
        second: Likewise.
        valid: bool ``[N, H, W]``; other pixels add nothing.

    Returns:
        float32 scalar, the sum over the pixels.
    """
    return ((first - second).abs().sum(dim=1) / 2 * valid).sum()


def sharpest(probs: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """The likeliest class of each pixel, int64 ``[N, H, W]`` with `IGNORE` where it is not valid, and its probability.

    Args:
        probs: float32 ``[N, K, H, W]``.
        valid: bool ``[N, H, W]``.
    """
    confidence, labels = probs.max(dim=1)
    return torch.where(valid, labels, IGNORE), confidence
