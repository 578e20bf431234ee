"""Reads one image and its mask, and says what is wrong with them."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dmt_ray import IGNORE
from dmt_ray.data.check import Problems, Steps
from dmt_ray.data.files import Item, MaskValues, below
from dmt_ray.data.pictures import Picture, Unfit, low_depth, read_image, read_mask

REVISION = 1  # raised whenever the same files and the same working size give other pixels

TURNED = "images with an orientation tag, which is not applied; their masks must match the pixels as stored"
Size = tuple[int, int] | None


class BadFileError(Exception):
    """A file that cannot be used; the arguments are those of `Problems.add`."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """One image at working size."""

    id: str
    image: NDArray[np.uint8]  # RGB, ``[height, width, 3]``
    mask: NDArray[np.uint8]  # class or `IGNORE`, ``[height, width]``, or ``[1, 1]`` in classification
    known: bool  # whether the mask is true, or there is none

    @classmethod
    def of_class(cls, id: str, image: NDArray[np.uint8], label: int) -> "Decoded":
        """An image that has one class."""
        return cls(id, image, np.full((1, 1), label, np.uint8), known=True)


def digest(content: bytes) -> str:
    """The digest of a file's bytes, and `low_depth` behind it."""
    return hashlib.blake2b(content, digest_size=16).hexdigest() + low_depth(content)


@dataclass(frozen=True)
class Decoder:
    """Decodes files of one data set, and says what is wrong with them."""

    root: Path  # the data set's folder, for messages
    size: Size  # working (height, width); images are resized bilinearly with antialiasing, masks to the nearest pixel
    digests: Mapping[Path, str]  # what the files' bytes are expected to be
    pool: Executor  # decodes; Pillow lets other threads run meanwhile
    problems: Problems  # takes what is wrong
    steps: Steps  # counts what is done

    def decode_all(self, items: Sequence[Item]) -> Iterator[Decoded]:
        """The usable images in their order; what is wrong with the others goes to `problems`."""
        at_once = 4 * (os.cpu_count() or 1)  # bounds the images that are in memory
        for start in range(0, len(items), at_once):
            for image, wrong in self.pool.map(self.decode, items[start : start + at_once]):
                self.steps.one_more()
                for bad in wrong:
                    self.problems.add(*bad.args)
                if image is not None:
                    yield image

    def decode(self, item: Item) -> tuple[Decoded | None, list[BadFileError]]:
        """One image at working size, or None and everything that is wrong with its files."""
        wrong: list[BadFileError] = []
        picture = mask = None
        try:
            picture = self._picture(item.image)
        except BadFileError as error:
            wrong.append(error)
        try:
            mask = None if item.mask is None else self._classes(item.mask, item.values)
        except BadFileError as error:
            wrong.append(error)
        if picture is None or wrong:
            return None, wrong
        image = picture.image
        if item.mask is not None and mask is not None and mask.shape != (image.height, image.width):
            sizes = f"{mask.shape[0]} x {mask.shape[1]} but the image {image.height} x {image.width}"
            why = " as stored, its orientation not applied: turn its pixels" if picture.turned else ""
            kind = "masks that differ in size from their images (height x width)"
            return None, [BadFileError(kind, f"{below(item.mask, self.root)} is {sizes}{why}")]
        if picture.turned and item.label is None:
            self.problems.remark(TURNED, below(item.image, self.root))
        pixels = resized(image, self.size)
        if item.label is not None:
            return Decoded.of_class(item.id, pixels, item.label), []
        height, width = pixels.shape[:2]
        if mask is None:
            return Decoded(item.id, pixels, np.full((height, width), IGNORE, np.uint8), known=False), []
        if mask.shape != (height, width):
            mask = np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))
        return Decoded(item.id, pixels, mask, known=True), []

    def read(self, path: Path) -> bytes:
        """The bytes of a file.

        Raises:
            BadFileError: If it cannot be read, or is not what it was when its digest was taken.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise BadFileError("files that cannot be read", f"{below(path, self.root)} ({error.strerror})") from None
        if digest(content) != self.digests.get(path):
            raise BadFileError("files that changed while they were being read; start again", below(path, self.root))
        return content

    def _picture(self, path: Path) -> Picture:
        try:
            return read_image(self.read(path))
        except Unfit as unfit:
            kind, holds = unfit.args
            raise BadFileError(kind, f"{below(path, self.root)} ({holds})") from None

    def _classes(self, path: Path, values: MaskValues) -> NDArray[np.uint8]:
        try:
            numbers = read_mask(self.read(path))
        except Unfit as unfit:
            kind, holds = unfit.args
            raise BadFileError(kind, f"{below(path, self.root)} ({holds})") from None
        wide = numbers.dtype != np.uint8
        allowed = np.isin(numbers, np.flatnonzero(values.allowed)) if wide else values.allowed[numbers]
        if not allowed.all():
            wrong = np.unique(numbers[~allowed])
            shown = ", ".join(map(str, wrong[:5])) + (", ..." if len(wrong) > 5 else "")
            kind = f"masks with values that are neither a class nor ignore; expected {values.expected}"
            raise BadFileError(kind, f"{below(path, self.root)} holds {shown}")
        return values.table[numbers.astype(np.uint8)]


def resized(image: Image.Image, size: Size) -> NDArray[np.uint8]:
    """The pixels of an image at working size."""
    if size is not None and (image.height, image.width) != size:
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(image)
