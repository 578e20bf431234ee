"""Pseudo labels on disk: one byte of class and one of evidence a pixel, memory-mapped."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmt_ray.data.images import Images
from dmt_ray.plan.files import CONFIDENCE, IMAGES, LABELS


class PseudoLabels:
    """The labels that a teacher gave to the unlabelled images, or to some of them, in the order of `Parts.unlabelled`.

    Attributes:
        positions: Positions in the train subset of the images that have labels.
    """

    def __init__(
        self, images: Images, positions: Sequence[int], folder: Path | None, evidence: str = CONFIDENCE
    ) -> None:
        """Open the labels in a stage's folder; without one they are made online, and pixels hold a placeholder.

        Args:
            images: The train images.
            positions: Positions of the unlabelled images.
            folder: The stage's. If it holds images.npy, its other files hold the labels of these images alone.
            evidence: The file of what speaks for each label: confidence.npy or rank.npy.
        """
        if folder is not None and (folder / IMAGES).exists():
            positions = [positions[place] for place in np.load(folder / IMAGES, allow_pickle=False)]
        self.positions = tuple(positions)
        self._sizes = images.mask_sizes[list(positions)]
        self._offsets = offsets(images, positions)
        self._labels = None if folder is None else np.load(folder / LABELS, mmap_mode="c", allow_pickle=False)
        self._evidence = None if folder is None else np.load(folder / evidence, mmap_mode="c", allow_pickle=False)

    def __len__(self) -> int:
        return len(self.positions)

    def of(self, i: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Labels (class or 255) and evidence (a confidence in 1/255, or a rank) of the i-th image that has labels.

        Both are uint8, of the shape of the image's mask.
        """
        shape = tuple(int(side) for side in self._sizes[i])
        if self._labels is None or self._evidence is None:
            return np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        place = slice(int(self._offsets[i]), int(self._offsets[i + 1]))
        return self._labels[place].reshape(shape), self._evidence[place].reshape(shape)


def offsets(images: Images, positions: Sequence[int]) -> NDArray[np.int64]:
    """Where each image begins in a flat array of their masks' pixels, and the end: int64 ``[len(positions) + 1]``."""
    areas = images.mask_sizes[list(positions)].astype(np.int64).prod(axis=1)
    return np.concatenate([np.zeros(1, np.int64), areas.cumsum()])


def open_flat(file: Path, dtype: type[np.generic], size: int) -> NDArray[Any]:
    """A new flat array on disk; `flush` it when it is full."""
    if size:
        return np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=(size,))
    empty = np.zeros(0, dtype)  # an empty file cannot be mapped
    np.save(file, empty)
    return empty


def flush(arrays: Iterable[NDArray[Any]]) -> None:
    """Bring arrays of `open_flat` to disk."""
    for array in arrays:
        if isinstance(array, np.memmap):
            array.flush()
