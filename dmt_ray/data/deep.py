"""Pixels of more than 8 bits: numbers of PNG and TIFF files at their full depth, and how a range makes 8 bits of them.

Pillow reads most of these at a lower depth than the file's, so libraries that do not are used here alone.
"""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmt_ray.data.orientation import is_tiff

ROWS = 256  # scaled at a time, so that the copies in float64 stay small
_GREY, _COLOUR = (0, 1), 2  # TIFF's photometric interpretations: white is 0, black is 0, RGB
_WHITE_IS_ZERO = 0
# TIFF's compressions that lose nothing, and whose size the head of the file says: none, CCITT, LZW, deflate, PackBits,
# LZMA and Zstandard. A JPEG in a TIFF file has a size of its own, which may be of any number of gigabytes.
_PACKED = frozenset({1, 2, 3, 4, 5, 8, 32773, 32946, 34925, 50000})
_UNSPECIFIED = 0  # of an additional channel: neither alpha nor colour

Range = tuple[float, float]


class UnreadableError(Exception):
    """A file whose numbers cannot be read: the message says what it holds."""


class FurtherChannelsError(UnreadableError):
    """It has channels other than colour and alpha."""


def image_numbers(content: bytes, most_pixels: int) -> NDArray[Any]:
    """Grey or colour of a PNG or TIFF file, ``[height, width, 1 or 3]``, of the file's dtype; alpha is dropped.

    Raises:
        UnreadableError: If it is too large, or of another kind.
        Exception: Whatever a library raises for a damaged file.
    """
    if not is_tiff(content):
        return _colours(_png(content))
    numbers, page = _tiff(content, most_pixels)
    if page.photometric not in (*_GREY, _COLOUR):
        raise UnreadableError(f"TIFF of {page.photometric.name.lower()} and {page.bitspersample} bits")
    channels = 3 if page.photometric == _COLOUR else 1
    if numbers.shape[2] > channels + 1 or (numbers.shape[2] > channels and _UNSPECIFIED in (page.extrasamples or (0,))):
        raise FurtherChannelsError(f"{numbers.shape[2]} channels")
    numbers = numbers[:, :, :channels]
    if page.photometric == _WHITE_IS_ZERO:
        if numbers.dtype.kind != "u":
            raise UnreadableError("TIFF in which white is 0")
        numbers = np.iinfo(numbers.dtype).max - numbers
    return numbers


def mask_numbers(content: bytes, most_pixels: int) -> tuple[NDArray[Any], NDArray[np.uint8] | None]:
    """The numbers of a TIFF mask, ``[height, width, channels]``, and the colours of its palette, ``[n, 3]``.

    Raises:
        UnreadableError: If it is too large, has several pages, or numbers that are not whole.
        Exception: Whatever a library raises for a damaged file.
    """
    numbers, page = _tiff(content, most_pixels)
    if numbers.dtype.kind == "f":
        if not (numbers == np.rint(numbers)).all():  # also false for NaN
            raise UnreadableError("numbers that are not whole")
        numbers = numbers.astype(np.int64)
    if numbers.dtype.kind == "b":
        numbers = numbers.astype(np.uint8)
    colours = page.colormap
    return numbers, None if colours is None else (colours.T >> 8).astype(np.uint8)


def scaled(numbers: NDArray[Any], limits: Range) -> NDArray[np.uint8]:
    """Numbers brought to 0..255: the lower limit becomes 0, the upper one 255, what lies outside is clipped.

    Raises:
        UnreadableError: If a number is NaN or infinite.
    """
    low, high = limits
    out = np.empty(numbers.shape, np.uint8)
    for start in range(0, len(numbers), ROWS):
        rows = numbers[start : start + ROWS].astype(np.float64)
        if not np.isfinite(rows).all():
            raise UnreadableError("NaN or infinite numbers")
        out[start : start + ROWS] = np.clip(np.rint((rows - low) * (255 / (high - low))), 0, 255)
    return out


def _png(content: bytes) -> NDArray[Any]:
    from imagecodecs import png_decode  # only deep files need it

    numbers: NDArray[Any] = png_decode(content)
    return numbers


def _colours(numbers: NDArray[Any]) -> NDArray[Any]:
    """The channels of grey or colour, of 1 to 4 channels."""
    if numbers.ndim == 2:
        return numbers[:, :, None]
    return numbers[:, :, : 1 if numbers.shape[2] < 3 else 3]


def _tiff(content: bytes, most_pixels: int) -> tuple[NDArray[Any], Any]:
    """The numbers of a TIFF file of one page, ``[height, width, channels]``, and its page."""
    from tifffile import TiffFile  # only deep files and masks need it

    with TiffFile(io.BytesIO(content)) as file:
        if len(file.pages) != 1:
            raise UnreadableError(f"{len(file.pages)} pages")
        page: Any = file.pages[0]
        if page.imagewidth * page.imagelength > most_pixels:
            raise UnreadableError(f"{page.imagelength} x {page.imagewidth} pixels, more than {most_pixels}")
        if page.compression not in _PACKED:
            raise UnreadableError(f"a TIFF packed as {getattr(page.compression, 'name', page.compression)}")
        ends = (start + count for start, count in zip(page.dataoffsets, page.databytecounts, strict=True))
        if max(ends, default=0) > len(content):
            raise ValueError("it ends before its pixels do")
        numbers = page.asarray(maxworkers=1)
        if page.axes == "SYX":
            numbers = np.moveaxis(numbers, 0, 2)
        elif page.axes == "YX":
            numbers = numbers[:, :, None]
        elif page.axes != "YXS":
            raise UnreadableError(f"axes {page.axes}")
        if numbers.dtype.kind not in "uifb":
            raise UnreadableError(f"numbers of {numbers.dtype}")
        return numbers, page
