"""Selection of pseudo labels by direct ranking: one forward pass, and memory that does not grow with the images.

Ranking needs the order of confidences, above all the order of the highest ones: late in training most pixels lie
within 1e-3 of 1, where a float32 confidence has few values left. So what is ranked is the *doubt* ``1 - c``, the sum of
the other classes' probabilities, which a float resolves equally well at every magnitude. A 16-bit code of it, 9 bits of
them mantissa, is fine enough to count instead of sort: histograms of codes, one per class, hold all that a threshold
needs, and they are added up over batches and workers.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dmt_ray import IGNORE
from dmt_ray.plan.amounts import images_of

CODES = 65536
_DROPPED_BITS = 14  # of a float32's 23 bits of mantissa; then a doubt of 1.0 still fits into 16 bits
CERTAIN = 0x3F800000 >> _DROPPED_BITS  # the code of certainty; 0x3F800000 are the bits of 1.0

Codes = NDArray[np.uint16]


class Prediction(NamedTuple):
    """A teacher's classes, uint8, and the codes of its confidences, uint16; both ``[N, H, W]`` (or ``[N]``)."""

    labels: Tensor
    codes: Tensor


def predict(logits: Tensor) -> Prediction:
    """Class and coded confidence of every pixel.

    Args:
        logits: ``[N, K, H, W]`` or ``[N, K]``, any floating type, K at most 255.
    """
    # 1 - max would have an error of 6e-8 whatever its size; the sum of the others has a relative one.
    highest, labels = logits.float().max(dim=1, keepdim=True)
    ratios = (logits.float() - highest).exp().scatter(1, labels, 0.0)  # p[k] / max p, the predicted class left out
    others = ratios.sum(dim=1)
    return Prediction(labels.squeeze(1).to(torch.uint8), encode(others / (1 + others)))


def encode(doubt: Tensor) -> Tensor:
    """Code of a confidence, given its doubt ``1 - c``: the more confident, the higher; equal doubts have equal codes.

    Doubts that differ by more than 1 part in 512 have different codes, from 1 down to the smallest normal float.

    Args:
        doubt: float in ``[0, 1]``, any shape. NaN, the doubt of logits that are no numbers, counts as 1.

    Returns:
        uint16, of the shape of ``doubt``.
    """
    # The bits of a positive float, read as an integer, rise with the float.
    bits = doubt.to(torch.float32).nan_to_num(nan=1.0).clamp(0, 1).view(torch.int32)
    return (CERTAIN - (bits >> _DROPPED_BITS)).to(torch.uint16)


def decode(codes: Tensor) -> Tensor:
    """Confidence in the middle of what a code stands for, float32 in ``[0, 1]``; its doubt is right to 1 part in 1000.

    Args:
        codes: uint16 from `encode`, any shape.
    """
    half = 1 << (_DROPPED_BITS - 1)
    return 1 - (((CERTAIN - codes.to(torch.int32)) << _DROPPED_BITS) + half).view(torch.float32).clamp(0, 1)


class Ranking:
    """Per-class histograms of confidence codes, from which thresholds are read.

    ``counts`` is int64 ``[K, 65536]``: the histograms of several workers are added up by adding these.

    Args:
        classes: Number of classes K.
        device: Where the batches are, so that nothing is copied to count it.
    """

    def __init__(self, classes: int, device: torch.device | str = "cpu") -> None:
        # One cell more for labels that are no class: to look at them now would make the host wait for the device.
        self._cells = torch.zeros(classes * CODES + 1, dtype=torch.int64, device=device)
        self.counts = self._cells[:-1].view(classes, CODES)

    def update(self, labels: Tensor, codes: Tensor) -> None:
        """Count one batch; the host does not wait for the device.

        Args:
            labels: Predicted classes ``0..K-1``, uint8 or int64, any shape; `IGNORE` (padding) is not counted. What is
                neither is found by `thresholds`.
            codes: uint16, of the shape of ``labels``.

        Raises:
            ValueError: If the shapes differ.
        """
        if labels.shape != codes.shape:
            raise ValueError(
                f"labels and codes must cover the same pixels, but got {tuple(labels.shape)} and {tuple(codes.shape)}"
            )
        labels = labels.flatten()
        known = (labels >= 0) & (labels <= len(self.counts) - 1)
        cells = torch.where(known, labels.long() * CODES + codes.flatten().long(), self.counts.numel())
        self._cells.scatter_add_(0, cells, (labels != IGNORE).long())

    def thresholds(self, share: float, rule: Literal["class_balanced", "global"]) -> Codes:
        """Lowest code of each class that is kept, so that about ``share`` of the pixels are.

        Of n confidences those are kept that reach the value at place ``-(int(n * share) + 1)`` in rising order, all if
        there is no such place or ``n * share < 1`` (the DMT authors' rule). Ties at the threshold are all kept.

        Args:
            share: In ``(0, 1]``.
            rule: ``"class_balanced"`` ranks the pixels predicted as each class among themselves (DMT, Sec. 4.2.2);
                ``"global"`` ranks all pixels together (DMT, Sec. 4.2.1), the same threshold for every class.

        Returns:
            uint16 ``[K]``. A class that was never predicted has the code of certainty.

        Raises:
            ValueError: If ``share`` is out of range, the rule is unknown, or a label was no class.
        """
        if not 0 < share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, but got {share}")
        cells = self._cells.cpu().numpy()
        if unknown := int(cells[-1]):
            raise ValueError(
                f"labels must be {IGNORE} or between 0 and {len(self.counts) - 1}, but {unknown} of them were not"
            )
        counts = cells[:-1].reshape(self.counts.shape)
        if rule == "class_balanced":
            return np.array([_threshold(row, share) for row in counts], np.uint16)
        if rule == "global":
            return np.full(len(counts), _threshold(counts.sum(axis=0), share), np.uint16)
        raise ValueError(f"rule must be 'class_balanced' or 'global', but got {rule!r}")


def _threshold(histogram: NDArray[np.int64], share: float) -> int:
    occupied = np.flatnonzero(histogram)
    if not len(occupied):
        return CERTAIN
    at_least = histogram[occupied][::-1].cumsum()  # pixels that reach each occupied code, from the most confident down
    total = int(at_least[-1])
    place = int(total * share) + 1
    if place > total or total * share < 1:
        place = total
    return int(occupied[::-1][np.searchsorted(at_least, place)])


class Tally:
    """How many labels of each code are wrong and how many are right: errors of the most confident (DMT, Fig. 1).

    ``counts`` is int64 ``[2, 65536]``, wrong and right; those of several workers are added up by adding these.

    Args:
        device: Where the batches are.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.counts = torch.zeros(2, CODES, dtype=torch.int64, device=device)

    def update(self, labels: Tensor, codes: Tensor, truth: Tensor) -> None:
        """Count one batch; the host does not wait for the device.

        Args:
            labels: Predicted classes, any integer type and shape.
            codes: uint16, of the shape of ``labels``.
            truth: Classes or `IGNORE`, likewise.
        """
        cells = codes.flatten().long() + CODES * (labels == truth).flatten()
        self.counts.view(-1).scatter_add_(0, cells, (truth != IGNORE).flatten().long())

    def errors(self, shares: Sequence[float]) -> list[float | None]:
        """Error rates of the most confident fractions of the labels, ties at the end included; None without any truth.

        Args:
            shares: Each in ``(0, 1]``.
        """
        wrong, right = self.counts.cpu().numpy()[:, ::-1].cumsum(axis=1)  # from the most confident down
        judged = wrong + right
        total = int(judged[-1])
        if not total:
            return [None] * len(shares)
        ends = [int(np.searchsorted(judged, images_of(total, share))) for share in shares]
        return [float(wrong[end] / judged[end]) for end in ends]


def most_confident(codes: Codes, share: float) -> NDArray[np.bool_]:
    """Which of some labels are the most confident fraction: exactly `images_of` of them, of equal ones the first.

    Args:
        codes: uint16 ``[N]``.
        share: In ``(0, 1]``.

    Returns:
        bool ``[N]``.

    Raises:
        ValueError: If ``share`` is out of range.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must be above 0 and at most 1, but got {share}")
    kept = np.zeros(len(codes), np.bool_)
    kept[np.argsort(CERTAIN - codes.astype(np.int32), kind="stable")[: images_of(len(codes), share)]] = True
    return kept


def select(labels: Tensor, codes: Tensor, thresholds: Tensor) -> Tensor:
    """The labels whose codes reach the threshold of their class; `IGNORE` elsewhere.

    Args:
        labels: Predicted classes or `IGNORE`, uint8, any shape.
        codes: uint16, of the shape of ``labels``.
        thresholds: uint16 ``[K]`` from `Ranking.thresholds`, on the same device.
    """
    of_label = nn.functional.pad(thresholds.to(torch.int32), (0, IGNORE + 1 - len(thresholds)))
    needed = of_label.index_select(0, labels.flatten().to(torch.int32)).view(labels.shape)
    return torch.where(codes.to(torch.int32) >= needed, labels, IGNORE)


def renormalise(probs: Tensor, thresholds: Tensor) -> Tensor:
    """CBST's own selection: divide by the class thresholds, take the argmax, keep it above 1 (DMT, Sec. 4.2.2).

    Unlike direct ranking this can change the class: ``[0.6, 0.4]`` with thresholds ``[0.61, 0.39]`` becomes class 1.

    Args:
        probs: Softmax, float32 ``[N, K, H, W]`` or ``[N, K]``.
        thresholds: Confidences, float32 ``[K]``, each above 0 (`decode` of `Ranking.thresholds`).

    Returns:
        int64 ``[N, H, W]`` or ``[N]``, `IGNORE` where nothing is kept.

    Raises:
        ValueError: If there is not one threshold per class.
    """
    if thresholds.shape != probs.shape[1:2]:
        raise ValueError(f"{probs.shape[1]} classes need as many thresholds, but got shape {tuple(thresholds.shape)}")
    scaled = probs / thresholds.view(-1, *[1] * (probs.dim() - 2))
    highest, labels = scaled.max(dim=1)
    return torch.where(highest > 1, labels, IGNORE)


def to_byte(confidence: Tensor) -> Tensor:
    """Confidence in ``[0, 1]`` as one byte, rounded to the nearest 1/255: the form in which it is stored."""
    return (confidence * 255).round().to(torch.uint8)


def from_byte(stored: Tensor) -> Tensor:
    """Confidence, float32, from `to_byte`; off by at most 1/510."""
    return stored.to(torch.float32) / 255
