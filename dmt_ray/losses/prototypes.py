"""Prototypes of the classes, and labels that are rectified by them (RML, Sec. 4.2)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from dmt_ray import IGNORE


def class_confidence(features: Tensor, prototypes: Tensor) -> Tensor:
    """How much nearer each pixel's feature is to one class than to the others: softmax of -distance (RML, Eq. 9).

    Args:
        features: Of the mean teacher, float32 ``[N, C, h, w]``.
        prototypes: float32 ``[K, C]``.

    Returns:
        float32 ``[N, K, h, w]``, each pixel's sum 1.
    """
    count, channels, height, width = features.shape
    pixels = features.permute(0, 2, 3, 1).reshape(1, -1, channels)
    distances = torch.cdist(pixels, prototypes.unsqueeze(0)).view(count, height, width, -1)
    return (-distances).softmax(dim=-1).permute(0, 3, 1, 2)


def rectify(probs: Tensor, confidence: Tensor, *, stride: int | None = None) -> Tensor:
    """Soft labels weighted by the confidence in each class, and made to sum to 1 again (RML, Eq. 6).

    The paper takes the likeliest class of the product, and so do our callers.

    Args:
        probs: The labels as they were at the start of the stage, float32 ``[N, K, H, W]``.
        confidence: From `class_confidence`, ``[N, K, h, w]``; enlarged bilinearly to the size of ``probs``.
        stride: Where feature i lies at pixel i * stride, as with aligned corners; None: the features share the image
            out evenly.
    """
    height, width = probs.shape[-2:]
    if stride is not None:
        size = [(side - 1) * stride + 1 for side in confidence.shape[-2:]]
        confidence = F.interpolate(confidence, size=size, mode="bilinear", align_corners=True)[..., :height, :width]
    elif confidence.shape[-2:] != probs.shape[-2:]:
        confidence = F.interpolate(confidence, size=probs.shape[-2:], mode="bilinear", align_corners=False)
    product = probs * confidence
    return product / product.sum(dim=1, keepdim=True).clamp(min=1e-12)


def class_sums(features: Tensor, labels: Tensor, classes: int, *, stride: int | None = None) -> tuple[Tensor, Tensor]:
    """Sums of the features that a model gives to each class, and their numbers: the parts of a mean (RML, Eq. 10).

    Args:
        features: float32 ``[N, C, h, w]``.
        labels: The same model's classes, int64 ``[N, H, W]``; other values than ``0..K-1`` belong to none. Where they
            are larger than the features, the nearest one counts.
        classes: Number of classes K.
        stride: As for `rectify`. Features that lie beyond the labels belong to no class.

    Returns:
        Sums, float32 ``[K, C]``, and numbers, float32 ``[K]``.
    """
    if stride is not None:
        labels = labels[..., ::stride, ::stride]
        lacking = (features.shape[-1] - labels.shape[-1], features.shape[-2] - labels.shape[-2])
        labels = F.pad(labels, (0, lacking[0], 0, lacking[1]), value=IGNORE)
    elif labels.shape[-2:] != features.shape[-2:]:
        smaller = F.interpolate(labels.unsqueeze(1).float(), size=features.shape[-2:], mode="nearest")
        labels = smaller.squeeze(1).long()
    # One row more for what belongs to no class: nothing is selected, so the host need not wait for the device.
    flat = torch.where((labels >= 0) & (labels < classes), labels, classes).flatten()
    pixels = features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])
    sums = torch.zeros(classes + 1, features.shape[1], device=features.device, dtype=features.dtype)
    sums.index_add_(0, flat, pixels)
    numbers = torch.zeros(classes + 1, device=features.device, dtype=features.dtype)
    numbers.index_add_(0, flat, torch.ones_like(flat, dtype=features.dtype))
    return sums[:-1], numbers[:-1]


def moved(prototypes: Tensor, sums: Tensor, numbers: Tensor, *, momentum: float) -> Tensor:
    """Prototypes a step later: a moving average of the batches' means (RML, Eq. 11).

    A class that a batch does not have stays where it is.

    Args:
        prototypes: float32 ``[K, C]``.
        sums: From `class_sums`, of the whole batch.
        numbers: Likewise.
        momentum: Share of the old, in ``[0, 1]``; the paper has 0.9999.
    """
    means = sums / numbers.clamp(min=1).unsqueeze(1)
    after = momentum * prototypes + (1 - momentum) * means
    return torch.where((numbers > 0).unsqueeze(1), after, prototypes)
