"""Reads one image and its mask, and says what is wrong with them."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dmt_ray import IGNORE
from dmt_ray.config import COLOURS
from dmt_ray.data.check import Problems, Steps
from dmt_ray.data.files import Item, below
from dmt_ray.data.mask_values import MaskValues, joined
from dmt_ray.data.orientation import QUARTER, UPRIGHT, orientation_of, turned
from dmt_ray.data.pictures import Picture, Reading, Unfit, read_image, read_mask
from dmt_ray.data.png import low_depth

REVISION = 1  # raised whenever the same files and the same working size give other pixels

TURNED = "images that are turned as their orientation tag says"
UNSURE = (
    "images with an orientation tag that their masks do not have; set data.orientation to `images` where masks fit the "
    "image as viewers show it, or to `stored` where they fit its pixels as stored"
)
DIFFERENT = "masks that have an orientation tag other than their images; turn their pixels, and remove the tag"
Size = tuple[int, int] | None


class BadFileError(Exception):
    """A file that cannot be used; the arguments are those of `Problems.add`."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """One image at working size."""

    id: str
    image: NDArray[np.uint8]  # ``[height, width, C]``, RGB where C is 3
    mask: NDArray[np.uint8]  # class or `IGNORE`, ``[height, width]``, or ``[1, 1]`` in classification
    known: bool  # whether the mask is true, or there is none

    @classmethod
    def of_class(cls, id: str, image: NDArray[np.uint8], label: int) -> "Decoded":
        """An image that has one class."""
        return cls(id, image, np.full((1, 1), label, np.uint8), known=True)


def digest(content: bytes) -> str:
    """The digest of a file's bytes; behind it `low_depth`, and ":o6" where the file records an orientation, here 6.

    Both tell files whose pixels earlier versions read otherwise from what they were.
    """
    orientation = orientation_of(content)
    mark = "" if orientation == UPRIGHT else f":o{orientation}"
    return hashlib.blake2b(content, digest_size=16).hexdigest() + low_depth(content) + mark


@dataclass(frozen=True)
class Decoder:
    """Decodes files of one data set, and says what is wrong with them."""

    root: Path  # the data set's folder, for messages
    size: Size  # working (height, width); images are resized bilinearly with antialiasing, masks to the nearest pixel
    reading: Reading  # what the settings say of the pictures
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
            masks = [self._mask(path, values) for path, values in item.masks]
        except BadFileError as error:
            wrong.append(error)
        if picture is None or wrong:
            return None, wrong
        try:
            mask = joined([self._fitting(*each, picture, item) for each in masks]) if masks else None
        except BadFileError as error:
            return None, [error]
        if picture.orientation != UPRIGHT:
            self.problems.remark(TURNED, below(item.image, self.root))
        pixels = resized(picture.image, self.size)
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
        with self._named(path):
            return read_image(self.read(path), self.reading)

    def _mask(self, path: Path, values: MaskValues) -> tuple[Path, NDArray[np.uint8], int]:
        """The classes in a mask as they are stored, and its orientation."""
        content = self.read(path)
        with self._named(path):
            classes = values.classes_of(read_mask(content, values.kind))
        return path, classes, UPRIGHT if self.reading.orientation == "stored" else orientation_of(content)

    @contextmanager
    def _named(self, path: Path) -> Iterator[None]:
        """Names the file in what is wrong with it."""
        try:
            yield
        except Unfit as unfit:
            kind, holds = unfit.args
            what = holds if holds.startswith("holds ") else f"({holds})"
            raise BadFileError(kind, f"{below(path, self.root)} {what}") from None

    def _fitting(
        self, path: Path, mask: NDArray[np.uint8], own: int, picture: Picture, item: Item
    ) -> NDArray[np.uint8]:
        """A mask as it lies over its image when that is shown.

        A mask without an orientation may fit the pixels as stored or as shown, which its size tells if the image is
        turned by a quarter and is no square.

        Raises:
            BadFileError: If that is not clear, or the mask has another orientation or size than the image.
        """
        stored, its = picture.stored.shape[:2], picture.orientation
        seen = stored[::-1] if its in QUARTER else stored
        name = below(path, self.root)
        if own not in (UPRIGHT, its):
            raise BadFileError(DIFFERENT, f"{name} has {own}, its image {its}")
        turn = own
        if own != its and self.reading.orientation != "images":
            if seen == stored:
                raise BadFileError(UNSURE, f"{below(item.image, self.root)} (orientation {its})")
            turn = its if mask.shape == stored else UPRIGHT
        mask = turned(mask, turn)
        if mask.shape != seen:
            sizes = f"{mask.shape[0]} x {mask.shape[1]} but the image {seen[0]} x {seen[1]}"
            raise BadFileError("masks that differ in size from their images (height x width)", f"{name} is {sizes}")
        return mask


def picture_of(content: bytes, data: Mapping[str, Any]) -> NDArray[np.uint8]:
    """An image file as a data set shows it to its models, ``[height, width, C]`` of the file's size.

    Args:
        content: The file's bytes.
        data: The data set's settings as plain values, such as the record of a training holds them.

    Raises:
        Unfit: If the file cannot be used.
    """
    return read_image(content, Reading.of(data)).image


def true_classes(content: bytes, data: Mapping[str, Any]) -> NDArray[np.generic]:
    """A mask file's class numbers and `IGNORE`, coded as the data set's own masks are where `mask_values` says how.

    Arguments and errors are those of `picture_of`.
    """
    if data.get("mask_values") is None:
        return read_mask(content)
    values = MaskValues.coded(data["mask_values"], data["classes"])
    return values.classes_of(read_mask(content, values.kind))


def resized(pixels: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """An image ``[height, width, C]`` at working size."""
    if size is None or pixels.shape[:2] == size:
        return pixels

    def brought(part: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.asarray(Image.fromarray(part).resize((size[1], size[0]), Image.Resampling.BILINEAR))

    if pixels.shape[2] == COLOURS:
        return brought(pixels)
    return np.stack([brought(np.ascontiguousarray(pixels[:, :, k])) for k in range(pixels.shape[2])], axis=2)
