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
from dmt_ray.data.check import Problems
from dmt_ray.data.files import Item, MaskValues, below
from dmt_ray.data.steps import Steps

REVISION = 1
"""Raised whenever the same files and the same working size give other pixels."""

# 16-bit and float images have no fixed range that could be brought to 0..255.
IMAGE_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})
Size = tuple[int, int] | None


class BadFileError(Exception):
    """A file that cannot be used: the kind of problem, and the file with what was found in it."""

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(kind, what)
        self.kind, self.what = kind, what


@dataclass(frozen=True, eq=False)
class Decoded:
    """One image at working size."""

    id: str
    image: NDArray[np.uint8]
    """RGB, ``[height, width, 3]``."""
    mask: NDArray[np.uint8]
    """Class or `IGNORE`, ``[height, width]``, or ``[1, 1]`` in classification."""
    known: bool
    """Whether the mask is true, or there is none."""


def digest(content: bytes) -> str:
    """The digest of a file's bytes."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def decode_all(
    items: Sequence[Item],
    root: Path,
    size: Size,
    digests: Mapping[Path, str],
    pool: Executor,
    problems: Problems,
    steps: Steps,
) -> Iterator[Decoded]:
    """The usable images in their order; what is wrong with the others goes to `problems`.

    Args:
        items: The files.
        root: The data set's folder, for what is said.
        size: Working (height, width); images are resized bilinearly with antialiasing, masks to the nearest pixel.
        digests: What the files' bytes are expected to be.
        pool: Decodes; Pillow lets other threads run meanwhile.
        problems: Takes what is wrong.
        steps: Told of each image.
    """
    at_once = 4 * (os.cpu_count() or 1)  # bounds the images that are in memory
    for start in range(0, len(items), at_once):
        for image, wrong in pool.map(lambda item: decode(item, root, size, digests), items[start : start + at_once]):
            steps.one_more()
            for bad in wrong:
                problems.add(bad.kind, bad.what)
            if image is not None:
                yield image


def decode(
    item: Item, root: Path, size: Size, digests: Mapping[Path, str]
) -> tuple[Decoded | None, list[BadFileError]]:
    """One image at working size, or None and everything that is wrong with its files."""
    wrong: list[BadFileError] = []
    image = mask = None
    try:
        image = _image(item.image, root, digests)
    except BadFileError as error:
        wrong.append(error)
    try:
        mask = None if item.mask is None else _classes(item.mask, item.values, root, digests)
    except BadFileError as error:
        wrong.append(error)
    if image is None or wrong:
        return None, wrong
    if item.mask is not None and mask is not None and mask.shape != (image.height, image.width):
        found = f"{mask.shape[0]} x {mask.shape[1]} but the image {image.height} x {image.width}"
        kind = "masks of another size than their images (height x width)"
        return None, [BadFileError(kind, f"{below(item.mask, root)} is {found}")]
    pixels, classes = _resized(image, mask, size)
    if item.label is not None:
        return Decoded(item.id, pixels, np.full((1, 1), item.label, np.uint8), known=True), []
    return Decoded(item.id, pixels, classes, mask is not None), []


def _resized(
    image: Image.Image, mask: NDArray[np.uint8] | None, size: Size
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    if size is not None and (image.height, image.width) != size:
        height, width = size
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        if mask is not None:
            mask = np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))
    if mask is None:
        mask = np.full((image.height, image.width), IGNORE, np.uint8)
    return np.asarray(image), mask


def _open(path: Path, root: Path, digests: Mapping[Path, str]) -> Image.Image:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadFileError("files that cannot be read", f"{below(path, root)} ({error.strerror})") from None
    if digest(content) != digests.get(path):
        raise BadFileError("files that changed while they were read; start again", below(path, root))
    try:
        image = Image.open(io.BytesIO(content))
        image.load()
    except Exception as error:  # Pillow lets nearly every kind of error out of a damaged file
        unknown = isinstance(error, UnidentifiedImageError)
        reason = "not an image" if unknown else str(error) or type(error).__name__
        raise BadFileError("files that are damaged or truncated", f"{below(path, root)} ({reason})") from None
    return image


def _image(path: Path, root: Path, digests: Mapping[Path, str]) -> Image.Image:
    image = _open(path, root, digests)
    if image.mode not in IMAGE_MODES:
        kind = "images whose pixels are not 8-bit; expected RGB or grey with 8 bits a channel"
        raise BadFileError(kind, f"{below(path, root)} ({image.mode})")
    return image.convert("RGB")


def _classes(path: Path, values: MaskValues, root: Path, digests: Mapping[Path, str]) -> NDArray[np.uint8]:
    image = _open(path, root, digests)
    if len(image.getbands()) != 1:
        kind = f"masks in colour; expected one channel or a palette that holds class numbers, {values.expected}"
        raise BadFileError(kind, f"{below(path, root)} ({image.mode})")
    found = np.asarray(image)
    if found.dtype == np.bool_:
        found = found.astype(np.uint8)
    wide = found.dtype != np.uint8
    allowed = np.isin(found, np.flatnonzero(values.allowed)) if wide else values.allowed[found]
    if not allowed.all():
        wrong = np.unique(found[~allowed])
        shown = ", ".join(str(value) for value in wrong[:5]) + (", ..." if len(wrong) > 5 else "")
        kind = f"masks with values that are neither a class nor ignore; expected {values.expected}"
        raise BadFileError(kind, f"{below(path, root)} holds {shown}")
    return values.table[found.astype(np.uint8)]
