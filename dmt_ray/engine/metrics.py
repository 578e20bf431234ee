"""Segmentation scores from one confusion matrix, pooled over the whole set (not averaged over images)."""

import torch
from torch import Tensor

from dmt_ray.losses import IGNORE


class Confusion:
    """Counts of pixels by true and predicted class, added up on the device.

    Args:
        classes: Number of classes K.
        device: Where the batches are.
    """

    def __init__(self, classes: int, device: torch.device | str = "cpu") -> None:
        self._classes = classes
        # Behind the matrix: pixels that are left out, and those whose truth or prediction is no class. An out-of-range
        # class would else be counted in another class's row, unseen, and to look for it would make the host wait.
        self._cells = torch.zeros(classes * classes + 3, dtype=torch.int64, device=device)

    def update(self, prediction: Tensor, truth: Tensor) -> None:
        """Count one batch; the host does not wait for the device.

        Args:
            prediction: Classes ``0..K-1``, uint8 or int64, any shape.
            truth: Classes ``0..K-1`` or `IGNORE`, of the shape of ``prediction``. `IGNORE` is left out; what else is no
                class is found by `matrix`.

        Raises:
            ValueError: If the shapes differ.
        """
        if prediction.shape != truth.shape:
            raise ValueError(
                f"prediction and truth must cover the same pixels, "
                f"but got {tuple(prediction.shape)} and {tuple(truth.shape)}"
            )
        prediction, truth = prediction.flatten(), truth.flatten()
        highest, inside = self._classes - 1, self._classes**2
        no_class, padding = (truth < 0) | (truth > highest), truth == IGNORE
        cells = torch.where(no_class, inside + 1 - padding.long(), truth.long() * self._classes + prediction.long())
        cells = torch.where((prediction < 0) | (prediction > highest), inside + 2, cells)
        # Not bincount, which reads the largest value to size its result.
        self._cells.scatter_add_(0, cells, torch.ones_like(cells))

    def matrix(self) -> Tensor:
        """What was counted, int64 ``[K, K]`` on the CPU, row = truth, column = prediction; waits for the device.

        Raises:
            ValueError: If a value was out of range.
        """
        cells = self._cells.cpu()
        for name, strange in zip(("truth", "prediction"), cells[-2:].tolist()):
            if strange:
                allowed = f"between 0 and {self._classes - 1}" + (f" or {IGNORE}" if name == "truth" else "")
                raise ValueError(f"{name} must be {allowed}, but was not at {strange} pixels")
        return cells[:-3].view(self._classes, self._classes)


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
