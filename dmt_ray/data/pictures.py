"""What an image file and a mask file may be: the one place where a file's bytes become pixels or class numbers.

What is read is what the file holds, to the last bit, or the file is refused. Settings of the data set (`Reading`) say
what a file does not: the range of its numbers, how many channels are data, and whether pixels are turned as a camera
recorded.
"""

import io
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from dmt_ray.config import COLOURS
from dmt_ray.data import deep, png
from dmt_ray.data.orientation import UPRIGHT, Orientation, is_tiff, orientation_of, turned, untouched
from dmt_ray.errors import DataError

# By content: Pillow reads many formats under any name, some of them at a lower depth than the file's.
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF")
MASK_FORMATS = ("PNG", "TIFF", "BMP")
MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})
# The first frame is the image: an MPO is a JPEG with a preview behind it, and some of the Oxford Pets are GIFs.
FIRST_FRAME = frozenset({"GIF", "MPO"})
SCALED = {"L;2": 85, "L;4": 17}  # raw modes of grey PNG files, and what Pillow multiplies their numbers by

MOST_PIXELS = 178_956_970  # of an image, where no other limit is set: where Pillow suspects a decompression bomb
LIMIT = "DMT_MAX_PIXELS"  # environment variable; decoded pixels do not depend on it, so it is no setting of a recipe
Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit cannot be set for a single image; `_opened` checks ours

ROWS = 1024  # of an image that are converted at once: Pillow makes three copies, which of a large image take gigabytes

_DEPTHS, _FURTHER, _UNSPECIFIED = 258, 338, 0  # TIFF tags: bits of each channel, kinds of further channels

DAMAGED = "files that are damaged or truncated"
NOT_8_BIT = (
    "images whose pixels are not 8-bit; set data.range to the numbers that become black and white, such as [0, 65535]"
)
NOT_SCALED = "images whose numbers data.range cannot bring to 8 bits"
MORE_CHANNELS = (
    "images with channels other than colour and alpha, which would be lost; set data.channels to their number, and "
    "data.normalised to data"
)
PAGES = (
    "images of several pages or frames, only one of which would be read; expected one image per file, or, where the "
    "pages of a TIFF are channels, data.channels set to their number and data.normalised to data"
)
LOSSY = (
    "masks whose content is not PNG, TIFF or BMP: JPEG and other lossy formats change numbers and colours, most of all "
    "at edges; save them as PNG where they were made, or convert them (docs/how-to/own-images.md#masks-as-jpeg)"
)
IN_COLOUR = (
    "masks in colour; expected one channel or a palette that holds class numbers, or for the data set folder "
    "data.mask_values with the class of each colour, such as {128 64 128: road, 0 0 0: ignore}"
)
NO_COLOUR = "masks of more than 8 bits, which cannot hold the colours of data.mask_values; set it to numbers"
SEE_THROUGH = "masks with transparent pixels, whose class is open; save them without alpha"

MaskKind = Literal["plain", "numbers", "colours"]


class Unfit(Exception):
    """A file that cannot be used; the arguments are what kind of fault it is and what the file holds."""


@dataclass(frozen=True)
class Reading:
    """What the settings of a data set say of its pictures; the fields are those of `config.data.DataSettings`."""

    range: deep.Ranges | None = None
    orientation: Orientation = "applied"
    channels: int = COLOURS

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> "Reading":
        """The same of settings as plain values, such as a stage's record holds them."""
        limits = data.get("range")
        if limits is not None:
            limits = tuple(tuple(each) if isinstance(each, list | tuple) else each for each in limits)
        return cls(limits, data.get("orientation", "applied"), data.get("channels", COLOURS))

    def identity(self) -> dict[str, object]:
        """What enters a data set's fingerprint; nothing where all is as by default."""
        plain = Reading()
        return {name: value for name, value in vars(self).items() if value != getattr(plain, name)}


PLAIN = Reading()


@dataclass(frozen=True, eq=False)
class Picture:
    """The pixels of an image file."""

    stored: NDArray[np.uint8]  # as they are in the file, ``[height, width, C]``; of 3 channels RGB, without alpha
    orientation: int  # how they are turned to be shown, 1 to 8; 1 where `Reading.orientation` is "stored"

    @property
    def image(self) -> NDArray[np.uint8]:
        """The image as a viewer shows it."""
        return turned(self.stored, self.orientation)


def read_image(content: bytes, reading: Reading = PLAIN) -> Picture:
    """The image that a file's bytes hold.

    Raises:
        Unfit: If it is damaged, too large, of more than 8 bits a channel without a range, of another number of channels
            than the settings say, or more than one image.
    """
    recorded = orientation_of(content)
    orientation = UPRIGHT if reading.orientation == "stored" else recorded
    if reading.channels != COLOURS:
        return Picture(_channels(content, reading), orientation)
    try:
        image, raw_mode = _opened(content, FORMATS)
    except Unfit:
        if not is_tiff(content):
            raise
        return Picture(_deep_image(content, reading, "TIFF of a kind that has no 8 bits"), orientation)
    if image.format not in FIRST_FRAME and (pages := _frames(image)) != 1:
        raise Unfit(PAGES, f"{pages} in a {image.format}")
    if _is_deep(image, raw_mode):
        return Picture(_deep_image(content, reading, raw_mode or image.mode), orientation)
    if image.format == "TIFF":
        further = getattr(image, "tag_v2", {}).get(_FURTHER, ())
        if raw_mode.rstrip("X") != raw_mode or _UNSPECIFIED in (further if isinstance(further, tuple) else (further,)):
            raise Unfit(MORE_CHANNELS, raw_mode)
    is_turned = image.format == "TIFF"  # Pillow does it with these, and with no others
    _load(image, content)
    pixels = _in_rgb(image)
    return Picture(untouched(pixels, recorded) if is_turned else pixels, orientation)


def _in_rgb(image: Image.Image) -> NDArray[np.uint8]:
    """The pixels of a decoded image of 8 bits, ``[height, width, 3]``."""
    pixels = np.empty((image.height, image.width, COLOURS), np.uint8)
    for top in range(0, image.height, ROWS):
        bottom = min(top + ROWS, image.height)
        pixels[top:bottom] = np.asarray(image.crop((0, top, image.width, bottom)).convert("RGB"))
    return pixels


def rgb(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image ``[height, width, C]`` as people see it, ``[height, width, 3]``: its first three channels, or grey."""
    channels = pixels.shape[2]
    if channels == COLOURS:
        return pixels
    shown = pixels[:, :, :COLOURS] if channels > COLOURS else np.repeat(pixels[:, :, :1], COLOURS, axis=2)
    return np.ascontiguousarray(shown)


def _channels(content: bytes, reading: Reading) -> NDArray[np.uint8]:
    """The channels of a file that is not read as RGB; alpha is one of them where there are too few without it."""
    numbers, holds = _deep_channels(content, reading) if is_tiff(content) else _plain_channels(content, reading)
    found = numbers.shape[2]
    if found != reading.channels:
        raise Unfit(f"images of another number of channels than data.channels, {reading.channels}", f"{found}: {holds}")
    return _of_8_bits(numbers, reading, holds)


def _deep_channels(content: bytes, reading: Reading) -> tuple[NDArray[Any], str]:
    """The numbers of a TIFF file, or a PNG file of more than 8 bits, and what it holds, for people."""
    try:
        if not is_tiff(content):
            png.check_sums(content)
        numbers = deep.all_numbers(content, reading.channels, most_pixels())
    except deep.UnreadableError as error:
        raise Unfit("images whose channels cannot all be read", str(error)) from None
    except Exception as error:  # libraries let many kinds of error out of a damaged file
        raise Unfit(DAMAGED, str(error) or type(error).__name__) from None
    return numbers, f"{'TIFF' if is_tiff(content) else 'PNG'} of {numbers.dtype}"


def _plain_channels(content: bytes, reading: Reading) -> tuple[NDArray[Any], str]:
    """The same of a file of another format."""
    image, raw_mode = _opened(content, FORMATS)
    if image.format not in FIRST_FRAME and (pages := getattr(image, "n_frames", 1)) != 1:
        raise Unfit(PAGES, f"{pages} in a {image.format}")
    if _is_deep(image, raw_mode):
        return _deep_channels(content, reading)
    _load(image, content)
    kind, mode = image.format, image.mode
    if mode in ("1", "LA", "L") and not (mode == "LA" and reading.channels == 2):
        image = image.convert("L")
    elif not (mode in ("LA", "RGBA") and len(image.getbands()) == reading.channels):
        image = image.convert("RGB")
    pixels = np.asarray(image)
    return pixels if pixels.ndim == 3 else pixels[:, :, None], f"{kind} of mode {mode}"


def _is_deep(image: Image.Image, raw_mode: str) -> bool:
    """Whether an opened image has more than 8 bits a channel."""
    if image.format == "TIFF":
        depths = getattr(image, "tag_v2", {}).get(_DEPTHS, 1)
        if max(depths if isinstance(depths, tuple) else (depths,)) > 8:
            return True
    # In BMP, 16 bits are those of a pixel: 5 or 6 a channel, which fit.
    return image.mode not in MODES or (";16" in raw_mode and image.format != "BMP")


def _deep_image(content: bytes, reading: Reading, holds: str) -> NDArray[np.uint8]:
    """The RGB image that a range makes of a file of more than 8 bits."""
    try:
        if not is_tiff(content):
            png.check_sums(content)
        numbers = deep.image_numbers(content, most_pixels())
    except deep.FurtherChannelsError as error:
        raise Unfit(MORE_CHANNELS, str(error)) from None
    except deep.UnreadableError as error:
        raise Unfit(NOT_8_BIT if reading.range is None else NOT_SCALED, str(error)) from None
    except Exception as error:  # libraries let many kinds of error out of a damaged file
        raise Unfit(DAMAGED, str(error) or type(error).__name__) from None
    if reading.range is None:
        raise Unfit(NOT_8_BIT, holds)
    grey_or_rgb = _scaled(numbers, reading.range)
    return np.ascontiguousarray(np.broadcast_to(grey_or_rgb, (*numbers.shape[:2], COLOURS)))


def _of_8_bits(numbers: NDArray[Any], reading: Reading, holds: str) -> NDArray[np.uint8]:
    """Numbers as they are where they are bytes, else as the range scales them."""
    if numbers.dtype == np.uint8:
        return np.ascontiguousarray(numbers)
    if reading.range is None:
        raise Unfit(NOT_8_BIT, holds)
    return _scaled(numbers, reading.range)


def _scaled(numbers: NDArray[Any], limits: deep.Ranges) -> NDArray[np.uint8]:
    try:
        return deep.scaled(numbers, limits)
    except deep.UnreadableError as error:
        raise Unfit(NOT_SCALED, str(error)) from None


def read_mask(content: bytes, kind: MaskKind = "plain") -> NDArray[np.generic]:
    """The numbers that a mask file holds, as they are stored, whatever its depth and palette.

    Args:
        content: The bytes of a PNG, TIFF or BMP file.
        kind: "plain": numbers of a single channel; "numbers": also grey in three equal channels; "colours": red, green
            and blue as one number, ``red * 65536 + green * 256 + blue``; of a palette, those of its colours.

    Returns:
        ``[height, width]`` of an integer dtype.

    Raises:
        Unfit: If it is no such file, damaged, too large, in colour where numbers are expected, or of several pages.
    """
    if is_tiff(content):
        numbers, mode = _tiff_mask(content, kind), "TIFF"
    else:
        numbers, mode = _pillow_mask(content, kind)
    channels = numbers.shape[2]
    if channels == 1 and kind != "colours":
        grey: NDArray[np.generic] = numbers[:, :, 0]
        return grey
    if kind == "plain" or channels > 4:
        raise Unfit(IN_COLOUR, mode if mode != "TIFF" else f"{channels} channels")
    if numbers.dtype != np.uint8:
        raise Unfit(NO_COLOUR if kind == "colours" else IN_COLOUR, f"{channels} channels of {numbers.dtype}")
    if channels in (2, 4) and (numbers[:, :, -1] != 255).any():
        raise Unfit(SEE_THROUGH, mode)
    colours = np.broadcast_to(numbers[:, :, : 1 if channels < 3 else 3], (*numbers.shape[:2], 3))
    if kind == "colours":
        red, green, blue = np.moveaxis(colours.astype(np.uint32), 2, 0)
        packed: NDArray[np.generic] = red << 16 | green << 8 | blue
        return packed
    if (colours != colours[:, :, :1]).any():
        raise Unfit(IN_COLOUR, mode)
    return colours[:, :, 0]


def _tiff_mask(content: bytes, kind: MaskKind) -> NDArray[Any]:
    try:
        numbers, palette = deep.mask_numbers(content, most_pixels())
    except deep.UnreadableError as error:
        raise Unfit("TIFF masks that do not hold one picture of whole numbers", str(error)) from None
    except Exception as error:  # libraries let many kinds of error out of a damaged file
        raise Unfit(DAMAGED, str(error) or type(error).__name__) from None
    return numbers if palette is None or kind != "colours" else palette[numbers[:, :, 0]]


def _pillow_mask(content: bytes, kind: MaskKind) -> tuple[NDArray[Any], str]:
    """The numbers of a PNG or BMP file, ``[height, width, channels]``, or its colours; and its mode."""
    image, raw_mode = _opened(content, FORMATS)
    if image.format not in MASK_FORMATS:
        raise Unfit(LOSSY, str(image.format))
    if (frames := _frames(image)) != 1:
        raise Unfit(PAGES, f"{frames} in a {image.format}")
    bands, mode = image.getbands(), image.mode
    if (len(bands) > 1 or kind == "colours") and _is_deep(image, raw_mode):
        raise Unfit(NO_COLOUR if kind == "colours" else IN_COLOUR, raw_mode or mode)
    _load(image, content)
    if kind == "colours":
        image = image.convert("RGBA" if "A" in bands else "RGB")
    numbers = np.asarray(image)
    if numbers.dtype == np.bool_:
        numbers = numbers.astype(np.uint8)
    if kind != "colours":
        numbers = numbers // numbers.dtype.type(SCALED.get(raw_mode, 1))
    return numbers if numbers.ndim == 3 else numbers[:, :, None], mode


def size_of(path: Path) -> tuple[int, int] | None:
    """Stored height and width of an image file by its first bytes, for estimates; None where these do not tell."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is wrong with a file is said when it is read
            with Image.open(path, formats=FORMATS) as image:
                return image.height, image.width
    except Exception:  # of any kind, see `_opened`
        return None


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


def _frames(image: Image.Image) -> int:
    """How many pages or frames an opened file has."""
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception as error:  # Pillow reads the heads of all pages for it
        raise Unfit(DAMAGED, str(error) or type(error).__name__) from None


def _load(image: Image.Image, content: bytes) -> None:
    """Decode the pixels."""
    try:
        if image.format == "PNG":
            png.check_sums(content)
        image.load()
    except Exception as error:
        raise Unfit(DAMAGED, str(error) or type(error).__name__) from None
