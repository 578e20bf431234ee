"""Segmentation scores from one confusion matrix, pooled over the whole set (not averaged over images)."""

import torch
from torch import Tensor

from dmt_ray.losses import IGNORE


def confusion_matrix(prediction: Tensor, truth: Tensor, classes: int) -> Tensor:
    """Count pixels by true and predicted class; matrices of batches and workers are added up.

    Args:
        prediction: Classes ``0..classes-1``, uint8 or int64, any shape.
        truth: Classes ``0..classes-1`` or `IGNORE`, of the shape of ``prediction``.
        classes: Number of classes K.

    Returns:
        int64 ``[K, K]`` on the device, row = truth, column = prediction; `IGNORE` in truth is left out.

    Raises:
        ValueError: If the shapes differ or a value is out of range.
    """
    if prediction.shape != truth.shape:
        raise ValueError(
            f"prediction and truth must cover the same pixels, "
            f"but got {tuple(prediction.shape)} and {tuple(truth.shape)}"
        )
    prediction, truth = prediction.flatten().long(), truth.flatten().long()
    # An out-of-range class would be counted in another class's row, unseen.
    for name, values in (("prediction", prediction), ("truth", torch.where(truth == IGNORE, 0, truth))):
        if values.numel() and not 0 <= int(values.min()) <= int(values.max()) < classes:
            allowed = f"between 0 and {classes - 1}" + (f" or {IGNORE}" if name == "truth" else "")
            raise ValueError(f"{name} must be {allowed}, but got {int(values.min())} to {int(values.max())}")
    cells = torch.where(truth == IGNORE, classes * classes, truth * classes + prediction)
    return torch.bincount(cells, minlength=classes * classes + 1)[:-1].view(classes, classes)


def iou(matrix: Tensor) -> Tensor:
    """Intersection over union of each class, float64 ``[K]``; NaN for a class in neither truth nor prediction."""
    matrix = matrix.double()
    hits = matrix.diagonal()
    return hits / (matrix.sum(dim=0) + matrix.sum(dim=1) - hits)


def mean_iou(matrix: Tensor) -> float:
    """Mean of `iou` over the classes that occur in truth or prediction, in ``[0, 1]``.

    Raises:
        ValueError: If the matrix counts no pixel.
    """
    _check_counts(matrix)
    return float(iou(matrix).nanmean())


def pixel_accuracy(matrix: Tensor) -> float:
    """Share of pixels whose class is right, in ``[0, 1]``.

    Raises:
        ValueError: If the matrix counts no pixel.
    """
    _check_counts(matrix)
    return float(matrix.diagonal().sum() / matrix.sum())


def _check_counts(matrix: Tensor) -> None:
    if not matrix.any():
        raise ValueError("the confusion matrix counts no pixel. Is every label of the set 255?")
