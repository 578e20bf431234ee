"""Scores from one confusion matrix, pooled over the whole set (not averaged over images), and fine-grained testing."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dmt_ray import IGNORE


class Confusion:
    """Counts of pixels by true and predicted class, added up on the device.

    Args:
        classes: Number of classes K.
        device: Where the batches are.
    """

    def __init__(self, classes: int, device: torch.device | str = "cpu") -> None:
        self._classes = classes
        # A row for each class and one for `IGNORE`; behind them the pixels whose truth or prediction is no class. These
        # would else be counted in another class's row, unseen, and to look for them would make the host wait.
        self._cells = torch.zeros((classes + 1) * classes + 2, dtype=torch.int64, device=device)

    def update(self, prediction: Tensor, truth: Tensor) -> None:
        """Count one batch; the host does not wait for the device.

        Args:
            prediction: Classes ``0..K-1``, uint8 or int64, any shape.
            truth: Classes ``0..K-1`` or `IGNORE`, of the shape of ``prediction``.

        Raises:
            ValueError: If the shapes differ. Values out of range are found when the counts are read.
        """
        if prediction.shape != truth.shape:
            raise ValueError(
                f"prediction and truth must cover the same pixels, "
                f"but got {tuple(prediction.shape)} and {tuple(truth.shape)}"
            )
        prediction, truth = prediction.flatten(), truth.flatten()
        classes, highest, strange = self._classes, self._classes - 1, (self._classes + 1) * self._classes
        padding = truth == IGNORE
        rows = torch.where(padding, classes, truth.long())
        known = padding | (truth >= 0) & (truth <= highest)
        cells = torch.where(known, rows * classes + prediction.long(), strange)
        cells = torch.where((prediction < 0) | (prediction > highest), strange + 1, cells)
        # Not bincount, which reads the largest value to size its result.
        self._cells.scatter_add_(0, cells, torch.ones_like(cells))

    def matrix(self) -> Tensor:
        """Pixels by true and predicted class, int64 ``[K, K]`` on the CPU, row = truth; `IGNORE` is left out.

        Raises:
            ValueError: If a value was out of range.
        """
        return self._read()[:-1]

    def predicted(self) -> Tensor:
        """Pixels by predicted class, int64 ``[K]`` on the CPU, those whose truth is `IGNORE` included.

        Raises:
            ValueError: If a value was out of range.
        """
        return self._read().sum(dim=0)

    def _read(self) -> Tensor:
        cells = self._cells.cpu()
        for name, strange in zip(("truth", "prediction"), cells[-2:].tolist()):
            if strange:
                allowed = f"between 0 and {self._classes - 1}" + (f" or {IGNORE}" if name == "truth" else "")
                raise ValueError(f"{name} must be {allowed}, but at {strange} pixels it was not")
        return cells[:-2].view(-1, self._classes)


def iou(matrix: Tensor) -> Tensor:
    """Intersection over union of each class, float64; NaN for a class in neither truth nor prediction.

    Args:
        matrix: ``[K, K]``, or several of them, ``[N, K, K]``; the result is ``[K]`` or ``[N, K]``.
    """
    matrix = matrix.double()
    hits = matrix.diagonal(dim1=-2, dim2=-1)
    return hits / (matrix.sum(dim=-2) + matrix.sum(dim=-1) - hits)


def mean_iou(matrix: Tensor, classes: Sequence[int] = ()) -> float:
    """Mean of `iou` over the classes that occur in truth or prediction, in ``[0, 1]``.

    Args:
        matrix: Pixels by true and predicted class, int64 ``[K, K]``.
        classes: Of these classes alone, where they are given; pixels of all others still count as misses and false
            alarms of these.

    Raises:
        ValueError: If the matrix counts no pixel, or none of the given classes occurs.
    """
    _check_counts(matrix)
    each = iou(matrix)[list(classes)] if classes else iou(matrix)
    if each.isnan().all():
        raise ValueError(f"none of the classes {list(classes)} occurs in truth or prediction")
    return float(each.nanmean())


def pixel_accuracy(matrix: Tensor) -> float:
    """Share of pixels whose class is right, in ``[0, 1]``.

    Raises:
        ValueError: If the matrix counts no pixel.
    """
    _check_counts(matrix)
    return float(matrix.diagonal().sum() / matrix.sum())


def right_probability(logits: Tensor, truth: Tensor) -> Tensor:
    """Sum of the probabilities of the right class where the decision is right (DMT, Sec. 5.2.3, fine-grained testing).

    A wrong decision adds nothing, however likely the right class was; nor does an image whose truth is `IGNORE`.

    Args:
        logits: ``[N, K, ...]``, any floating type.
        truth: Classes or `IGNORE`, ``[N, ...]``.

    Returns:
        float64 scalar on the device. Such sums of up to a million float32 probabilities are exact, in any order.
    """
    highest, decided = logits.float().softmax(dim=1).max(dim=1)
    return torch.where(decided == truth, highest, 0.0).double().sum()


def _check_counts(matrix: Tensor) -> None:
    if not matrix.any():
        raise ValueError("the confusion matrix counts no pixel. Is every label of the set 255?")
