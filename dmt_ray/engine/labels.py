"""Pseudo labels on disk: one byte of class and one of confidence a pixel, memory-mapped."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dmt_ray.data.images import Images

LABELS = "labels.npy"
CONFIDENCE = "confidence.npy"


class PseudoLabels:
    """The labels that a teacher gave to the unlabelled images, in the order of `Parts.unlabelled`.

    Attributes:
        positions: Positions of the images in the train subset.
    """

    def __init__(self, images: Images, positions: Sequence[int], folder: Path | None) -> None:
        """Open the labels in a stage's folder; without one they are made online, and pixels hold a placeholder."""
        self.positions = tuple(positions)
        self._sizes = images.sizes[list(positions)]
        self._offsets = offsets(images, positions)
        self._labels = None if folder is None else np.load(folder / LABELS, mmap_mode="c", allow_pickle=False)
        self._confidence = None if folder is None else np.load(folder / CONFIDENCE, mmap_mode="c", allow_pickle=False)

    def __len__(self) -> int:
        return len(self.positions)

    def of(self, i: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Labels (class or 255) and confidences (1/255) of the i-th unlabelled image, both uint8 ``[H, W]``."""
        shape = tuple(int(side) for side in self._sizes[i])
        if self._labels is None or self._confidence is None:
            return np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        place = slice(int(self._offsets[i]), int(self._offsets[i + 1]))
        return self._labels[place].reshape(shape), self._confidence[place].reshape(shape)


def offsets(images: Images, positions: Sequence[int]) -> NDArray[np.int64]:
    """Where each of the images begins in a flat array of their pixels, and the end: int64 ``[len(positions) + 1]``."""
    areas = images.sizes[list(positions)].astype(np.int64).prod(axis=1)
    return np.concatenate([np.zeros(1, np.int64), areas.cumsum()])
