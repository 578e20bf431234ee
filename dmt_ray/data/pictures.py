"""What an image file and a mask file may be: the one place where a file's bytes become pixels or class numbers.

What is read is what the file holds, to the last bit, or the file is refused.
"""

import io
import os
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from dmt_ray.errors import DataError

# By content: Pillow reads many formats under any name, some of them at a lower depth than the file's.
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF")
# 16-bit and float images have no fixed range that could be brought to 0..255.
MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})
# The first frame is the image: an MPO is a JPEG with a preview behind it, and some of the Oxford Pets are GIFs.
FIRST_FRAME = frozenset({"GIF", "MPO"})
SCALED = {"L;2": 85, "L;4": 17}  # raw modes of grey PNG files, and what Pillow multiplies their numbers by

MOST_PIXELS = 178_956_970  # of an image, where no other limit is set: where Pillow suspects a decompression bomb
LIMIT = "DMT_MAX_PIXELS"  # environment variable; decoded pixels do not depend on it, so it is no setting of a recipe
Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit cannot be set for a single image; `_opened` checks ours

_ORIENTATION = 0x0112  # EXIF and TIFF tag
_PIXEL_CHUNKS = (b"IHDR", b"PLTE", b"IDAT")

DAMAGED = "files that are damaged or truncated"
NOT_8_BIT = "images whose pixels are not 8-bit; expected RGB or grey with 8 bits per channel"
MORE_CHANNELS = "images with channels other than colour and alpha, which would be lost; expected RGB or grey"
PAGES = "images of several pages or frames, only one of which would be read; expected one image per file"
TURNED_TIFF = "TIFF images with an orientation other than 1; turn their pixels, and remove the tag"
NOT_PNG = "masks whose content is not PNG; JPEG and other lossy formats change class numbers: save as PNG"


class Unfit(Exception):
    """A file that cannot be used; the arguments are what kind of fault it is and what the file holds."""


@dataclass(frozen=True, eq=False)
class Picture:
    """The pixels of an image file as they are stored."""

    image: Image.Image  # RGB, 8 bits a channel; alpha is dropped
    turned: bool  # whether the file says that a viewer should turn or mirror it, which is not done


def read_image(content: bytes) -> Picture:
    """The image that a file's bytes hold.

    Raises:
        Unfit: If it is damaged, too large, of another depth than 8 bits a channel, or more than one image.
    """
    image, raw_mode = _opened(content, FORMATS)
    turned = _orientation(image) != 1
    # In BMP these are 5 or 6 bits a channel, and fit.
    if image.mode not in MODES or (";16" in raw_mode and image.format != "BMP"):
        raise Unfit(NOT_8_BIT, f"{raw_mode or image.mode}")
    if raw_mode.rstrip("X") != raw_mode and image.format == "TIFF":
        raise Unfit(MORE_CHANNELS, raw_mode)
    if image.format not in FIRST_FRAME and (pages := getattr(image, "n_frames", 1)) != 1:
        raise Unfit(PAGES, f"{pages} in a {image.format}")
    if turned and image.format == "TIFF":  # the only one that Pillow turns by itself
        raise Unfit(TURNED_TIFF, f"orientation {_orientation(image)}")
    _load(image, content)
    return Picture(image.convert("RGB"), turned)


def read_mask(content: bytes) -> NDArray[np.generic]:
    """The numbers that a PNG mask holds, ``[height, width]`` of uint8 or uint16, whatever its depth and palette.

    Raises:
        Unfit: If it is no PNG file, damaged, too large, in colour, or an animation.
    """
    image, raw_mode = _opened(content, FORMATS)
    if image.format != "PNG":
        raise Unfit(NOT_PNG, str(image.format))
    if len(image.getbands()) != 1:
        raise Unfit("masks in colour; expected one channel or a palette that holds class numbers", image.mode)
    if (frames := getattr(image, "n_frames", 1)) != 1:
        raise Unfit(PAGES, f"{frames} in a PNG")
    _load(image, content)
    numbers = np.asarray(image)
    if numbers.dtype == np.bool_:
        return numbers.astype(np.uint8)
    unscaled: NDArray[np.generic] = numbers // numbers.dtype.type(SCALED.get(raw_mode, 1))
    return unscaled


def most_pixels() -> int:
    """The largest number of pixels that an image may have.

    Raises:
        DataError: If the environment variable `LIMIT` holds anything but digits.
    """
    text = os.environ.get(LIMIT, "")
    if not text:
        return MOST_PIXELS
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise DataError(f"the environment variable {LIMIT} is a number of pixels, such as 400000000, but got {text!r}")
    return int(text)


def low_depth(content: bytes) -> str:
    """ ":2" or ":4" for a grey PNG file of 2 or 4 bits, "" for any other file.

    Version 0.2 and earlier read other numbers from such a mask; this tells data sets with them from what they were.
    """
    if content[:8] == b"\x89PNG\r\n\x1a\n" and content[25:26] == b"\0" and content[24:25] in (b"\2", b"\4"):
        return f":{content[24]}"
    return ""


def _opened(content: bytes, formats: tuple[str, ...]) -> tuple[Image.Image, str]:
    """An image whose pixels are not decoded yet, and the layout of its pixels in the file, in Pillow's words."""
    try:
        image = Image.open(io.BytesIO(content), formats=formats)
    except UnidentifiedImageError:
        raise Unfit(DAMAGED, "not a PNG, JPEG, BMP, TIFF, WebP or GIF image") from None
    except Exception as error:  # Pillow lets nearly every kind of error out of a damaged file
        raise Unfit(DAMAGED, str(error) or type(error).__name__) from None
    if image.width * image.height > most_pixels():
        kind = f"images of more than {most_pixels()} pixels; to read them set the environment variable {LIMIT}"
        raise Unfit(kind, f"{image.height} x {image.width} = {image.width * image.height}")
    arguments = image.tile[0].args if image.tile else ""
    raw_mode = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return image, raw_mode if isinstance(raw_mode, str) else ""


def _load(image: Image.Image, content: bytes) -> None:
    """Decode the pixels."""
    try:
        if image.format == "PNG":
            _check_sums(content)
        image.load()
    except Exception as error:
        raise Unfit(DAMAGED, str(error) or type(error).__name__) from None


def _check_sums(content: bytes) -> None:
    """Check what Pillow does not: that no bit of a PNG file's pixels has changed."""
    place = 8  # behind the signature
    while place + 8 <= len(content):
        length, name = struct.unpack(">I4s", content[place : place + 8])
        end = place + 8 + length
        if name in _PIXEL_CHUNKS and content[end : end + 4] != zlib.crc32(content[place + 4 : end]).to_bytes(4, "big"):
            raise ValueError(f"a wrong checksum of {name.decode()}")
        if name == b"IEND":
            return
        place = end + 4
    raise ValueError("no end of the PNG file")


def _orientation(image: Image.Image) -> int:
    """How a viewer should turn an image, 1 to 8; 1: not at all."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # a damaged EXIF block is no damaged image
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
