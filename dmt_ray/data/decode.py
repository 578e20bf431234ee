"""Reads one image and its mask, and says what is wrong with them."""

import hashlib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from dmt_ray import IGNORE
from dmt_ray.data.check import Problems, Steps
from dmt_ray.data.files import Item, MaskValues, below

REVISION = 1  # raised whenever the same files and the same working size give other pixels

# 16-bit and float images have no fixed range that could be brought to 0..255.
IMAGE_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})
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
    """The digest of a file's bytes."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


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
        image = mask = None
        try:
            image = self._image(item.image)
        except BadFileError as error:
            wrong.append(error)
        try:
            mask = None if item.mask is None else self._classes(item.mask, item.values)
        except BadFileError as error:
            wrong.append(error)
        if image is None or wrong:
            return None, wrong
        if item.mask is not None and mask is not None and mask.shape != (image.height, image.width):
            sizes = f"{mask.shape[0]} x {mask.shape[1]} but the image {image.height} x {image.width}"
            kind = "masks of another size than their images (height x width)"
            return None, [BadFileError(kind, f"{below(item.mask, self.root)} is {sizes}")]
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
            raise BadFileError("files that changed while they were read; start again", below(path, self.root))
        return content

    def _open(self, path: Path) -> Image.Image:
        content = self.read(path)
        try:
            image = Image.open(io.BytesIO(content))
            image.load()
        except Exception as error:  # Pillow lets nearly every kind of error out of a damaged file
            unknown = isinstance(error, UnidentifiedImageError)
            reason = "not an image" if unknown else str(error) or type(error).__name__
            raise BadFileError("files that are damaged or truncated", f"{below(path, self.root)} ({reason})") from None
        return image

    def _image(self, path: Path) -> Image.Image:
        image = self._open(path)
        if image.mode not in IMAGE_MODES:
            kind = "images whose pixels are not 8-bit; expected RGB or grey with 8 bits a channel"
            raise BadFileError(kind, f"{below(path, self.root)} ({image.mode})")
        return image.convert("RGB")

    def _classes(self, path: Path, values: MaskValues) -> NDArray[np.uint8]:
        image = self._open(path)
        if len(image.getbands()) != 1:
            kind = f"masks in colour; expected one channel or a palette that holds class numbers, {values.expected}"
            raise BadFileError(kind, f"{below(path, self.root)} ({image.mode})")
        numbers = np.asarray(image)
        if numbers.dtype == np.bool_:
            numbers = numbers.astype(np.uint8)
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
