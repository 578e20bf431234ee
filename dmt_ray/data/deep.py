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
Ranges = Range | tuple[Range, ...]  # of all channels, or of each


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
    _check_photometric(page)
    channels = 3 if page.photometric == _COLOUR else 1
    if numbers.shape[2] > channels + 1 or (numbers.shape[2] > channels and _UNSPECIFIED in (page.extrasamples or (0,))):
        raise FurtherChannelsError(f"{numbers.shape[2]} channels")
    return _black_is_zero(numbers[:, :, :channels], page)


def all_numbers(content: bytes, channels: int, most_pixels: int) -> NDArray[Any]:
    """All channels of a PNG file of more than 8 bits or a TIFF file, ``[height, width, C]``, of the file's dtype.

    Pages of a TIFF with one channel each are its channels, where it has as many pages. An alpha channel is dropped if
    there are as many channels without it.

    Args:
        content: The file's bytes.
        channels: Expected; the file may hold another number.
        most_pixels: Of an image.

    Raises:
        UnreadableError: If it is too large, or of another kind.
        Exception: Whatever a library raises for a damaged file.
    """
    if not is_tiff(content):
        numbers = _png(content)
        numbers = numbers[:, :, None] if numbers.ndim == 2 else numbers
        return numbers[:, :, :-1] if numbers.shape[2] in (2, 4) and numbers.shape[2] == channels + 1 else numbers
    numbers, page = _tiff(content, most_pixels, channels)
    _check_photometric(page)
    has_alpha = bool(page.extrasamples) and page.extrasamples[-1] != _UNSPECIFIED
    if has_alpha and numbers.shape[2] == channels + 1:
        numbers = numbers[:, :, :-1]
    return _black_is_zero(numbers, page)


def _check_photometric(page: Any) -> None:
    if page.photometric not in (*_GREY, _COLOUR):
        raise UnreadableError(f"TIFF of {page.photometric.name.lower()} and {page.bitspersample} bits")


def _black_is_zero(numbers: NDArray[Any], page: Any) -> NDArray[Any]:
    if page.photometric != _WHITE_IS_ZERO:
        return numbers
    if numbers.dtype.kind != "u":
        raise UnreadableError("TIFF in which white is 0")
    turned: NDArray[Any] = np.iinfo(numbers.dtype).max - numbers
    return turned


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


def scaled(numbers: NDArray[Any], limits: Ranges) -> NDArray[np.uint8]:
    """Numbers ``[..., C]`` brought to 0..255: the lower limit becomes 0, the upper one 255, what lies outside is
    clipped.

    Raises:
        UnreadableError: If a number is NaN or infinite.
    """
    low, high = np.array(limits, np.float64).reshape(-1, 2).T  # [1], or [C]
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


def _tiff(content: bytes, most_pixels: int, most_pages: int = 1) -> tuple[NDArray[Any], Any]:
    """The numbers of a TIFF file, ``[height, width, channels]``, and its first page.

    It has one page; or `most_pages`, alike and of one channel each.
    """
    from tifffile import TiffFile  # only deep files and masks need it

    with TiffFile(io.BytesIO(content)) as file:
        pages: list[Any] = [file.pages[i] for i in range(min(len(file.pages), most_pages + 1))]
        alike = len({(each.shape, each.dtype) for each in pages}) == 1 and pages[0].axes == "YX"
        if len(file.pages) != 1 and not (len(pages) == most_pages and alike):
            raise UnreadableError(f"{len(file.pages)} pages")
        for page in pages:
            if page.imagewidth * page.imagelength > most_pixels:
                raise UnreadableError(f"{page.imagelength} x {page.imagewidth} pixels, more than {most_pixels}")
            if page.compression not in _PACKED:
                raise UnreadableError(f"a TIFF packed as {getattr(page.compression, 'name', page.compression)}")
            ends = (start + count for start, count in zip(page.dataoffsets, page.databytecounts, strict=True))
            if max(ends, default=0) > len(content):
                raise ValueError("it ends before its pixels do")
        page = pages[0]
        if len(pages) > 1:
            return np.stack([each.asarray(maxworkers=1) for each in pages], axis=2), page
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
