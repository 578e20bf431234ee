"""The images of one subset as flat arrays on disk, so that all processes of a machine share one copy in memory."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Images:
    """One subset, decoded. Images may differ in size, so their pixels lie one after the other.

    The arrays are memory-mapped copy-on-write: what a caller writes into a view stays in its own memory.
    """

    ids: tuple[str, ...]
    sizes: NDArray[np.int32]  # (height, width) of each image, ``[N, 2]``
    offsets: NDArray[np.int64]  # image i holds the pixels ``offsets[i]:offsets[i + 1]`` of the flat arrays, ``[N + 1]``
    pixels: NDArray[np.uint8]  # ``[sum of height * width, C]``, RGB where C is 3
    masks: NDArray[np.uint8]  # class 0..K-1 or `IGNORE`, ``[sum of height * width]``, or ``[N]`` in classification
    known: NDArray[np.bool_]  # whether an image has a true mask, ``[N]``; the mask of one that has none is all `IGNORE`
    one_class: bool = False  # whether an image has one class, and so a mask of one pixel (classification)

    @property
    def channels(self) -> int:
        """C, the number of channels."""
        return int(self.pixels.shape[1])

    @cached_property
    def mask_sizes(self) -> NDArray[np.int32]:
        """(height, width) of each mask, ``[N, 2]``."""
        return np.ones_like(self.sizes) if self.one_class else self.sizes

    @cached_property
    def _mask_offsets(self) -> NDArray[np.int64]:
        return np.arange(len(self) + 1) if self.one_class else self.offsets

    def __len__(self) -> int:
        return len(self.ids)

    def image(self, i: int) -> NDArray[np.uint8]:
        """A view of image i, ``[height, width, C]``."""
        height, width = self.sizes[i]
        return self.pixels[self.offsets[i] : self.offsets[i + 1]].reshape(height, width, self.channels)

    def mask(self, i: int) -> NDArray[np.uint8]:
        """A view of mask i, ``[height, width]``, or ``[1, 1]`` in classification."""
        height, width = self.mask_sizes[i]
        return self.masks[self._mask_offsets[i] : self._mask_offsets[i + 1]].reshape(height, width)
