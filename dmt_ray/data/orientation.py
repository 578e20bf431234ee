"""The orientation that a camera records in a picture's file: how it is found, and how pixels are turned by it."""

import io
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from dmt_ray.data import png

Orientation = Literal["applied", "images", "stored"]
"""What a data set does with orientations; `config.data.DataSettings.orientation` says what each means."""

UPRIGHT = 1  # the orientation of pixels that are stored as they are shown
QUARTER = frozenset({5, 6, 7, 8})  # these exchange height and width
_INVERSE = {6: 8, 8: 6}  # every other orientation undoes itself
_TAG = 0x0112  # EXIF and TIFF tag
# A file without any of these holds no orientation; to look for them is far cheaper than to parse every file.
_TRACES = (b"Exif", b"EXIF", b"eXIf", b"Raw profile type", b"Orientation")
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def is_tiff(content: bytes) -> bool:
    """Whether a file's bytes begin as those of a TIFF file do."""
    return content[:4] in _TIFF


def orientation_of(content: bytes) -> int:
    """How a viewer turns the image in a file's bytes, 1 to 8 (EXIF 2.32, tag Orientation); 1: not at all."""
    if not is_tiff(content) and not any(trace in content for trace in _TRACES):
        return UPRIGHT
    try:
        value = _recorded(content)
    except Exception:  # a damaged EXIF block is no damaged image
        return UPRIGHT
    return value if isinstance(value, int) and 1 <= value <= 8 else UPRIGHT


def _recorded(content: bytes) -> Any:
    try:
        image = Image.open(io.BytesIO(content))
    except UnidentifiedImageError:
        if not is_tiff(content):
            raise
        from tifffile import TiffFile  # of a kind that Pillow does not know

        with TiffFile(io.BytesIO(content)) as file:
            page: Any = file.pages[0]
            return int(page.tags[_TAG].value)
    if image.format == "PNG":
        # Pillow would decode the whole image to find what may stand behind its pixels.
        for name, chunk, _ in png.chunks(content):
            if name == b"eXIf":
                image.info["exif"] = chunk
    return Image.Image.getexif(image).get(_TAG)


def turned(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Stored pixels, ``[height, width, ...]``, as a viewer shows them under an orientation."""
    match orientation:
        case 2:
            pixels = pixels[:, ::-1]
        case 3:
            pixels = pixels[::-1, ::-1]
        case 4:
            pixels = pixels[::-1]
        case 5:
            pixels = pixels.swapaxes(0, 1)
        case 6:
            pixels = np.rot90(pixels, -1)
        case 7:
            pixels = np.rot90(pixels, 2).swapaxes(0, 1)
        case 8:
            pixels = np.rot90(pixels)
    return np.ascontiguousarray(pixels)


def untouched(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """The stored pixels of an image that was turned by its orientation."""
    return turned(pixels, _INVERSE.get(orientation, orientation))
