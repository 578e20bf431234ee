"""What one view of an image teaches another: CutMix, current labels, and squared differences.

RML, Eq. 2-5; Mean Teacher with CutMix (French et al. 2020); FixMatch (Sohn et al. 2020); CPS (Chen et al. 2021);
UniMatch (Yang et al. 2023).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dmt_ray import IGNORE
from dmt_ray.losses.cross_entropy import cross_entropy_sum

BOX_SHARE = 0.5  # of an image's area that CutMix takes from another (French et al. 2020)
# UniMatch names CutMix alone; these are its authors' code, as ST++ has them.
SMALL_CHANCE, SMALL_SHARES, SMALL_RATIOS = 0.5, (0.02, 0.4), (0.3, 1 / 0.3)


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
    return _boxes((tall, BOX_SHARE / tall), (draws[:, 1], draws[:, 2]), size)


def small_boxes(draws: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Boxes in half of the images, of 2 to 40 % of the area and 0.3 to 3.3 times as high as wide (UniMatch).

    Area and ratio are uniform, and every place inside the image is equally likely. A side that would be longer than the
    image's is as long as that; the authors' code draws the ratio and the place again until a box fits.

    Args:
        draws: ``[N, 5]`` in ``[0, 1)``: whether there is a box, its area, its ratio, the row and the column.
        size: Height and width of the images.

    Returns:
        bool ``[N, *size]``, true inside the box.

    Raises:
        ValueError: If the draws have another shape.
    """
    if draws.ndim != 2 or draws.shape[1] != 5:
        raise ValueError(f"draws must be [N, 5], but got {list(draws.shape)}")
    share, ratio = (low + (high - low) * draws[:, i] for i, (low, high) in ((1, SMALL_SHARES), (2, SMALL_RATIOS)))
    there = draws[:, 0] < SMALL_CHANCE
    sides = [np.where(there, np.sqrt(one).clip(max=1), 0) for one in (share * ratio, share / ratio)]
    return _boxes((sides[0], sides[1]), (draws[:, 3], draws[:, 4]), size)


def _boxes(
    shares: tuple[NDArray[np.float64], NDArray[np.float64]],
    places: tuple[NDArray[np.float64], NDArray[np.float64]],
    size: tuple[int, int],
) -> NDArray[np.bool_]:
    """Boxes whose sides are shares of the images', at places in ``[0, 1)`` of where they fit."""
    inside = []
    for side, share, place in zip(size, shares, places):
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
