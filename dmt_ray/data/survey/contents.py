"""What images and masks hold: sizes, depths, orientations, and the values or colours that become classes."""

import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dmt_ray.config import COLOURS
from dmt_ray.data import deep
from dmt_ray.data.deep import Range, Ranges
from dmt_ray.data.mask_values import shown
from dmt_ray.data.orientation import QUARTER, UPRIGHT, orientation_of
from dmt_ray.data.pictures import (
    IN_COLOUR,
    MORE_CHANNELS,
    NOT_8_BIT,
    MaskKind,
    Unfit,
    most_pixels,
    read_image,
    read_mask,
)
from dmt_ray.plan.words import counted

MOST_IMAGES, MOST_DEEP, MOST_MASKS = 1000, 50, 5000  # that are opened, evenly spread over all
RARE = 0.0005  # of the pixels of all masks: colours below this are those of blurred edges
DENSE = 0.6  # of the numbers from 0 to the largest one: where so many occur, the others are classes, too
FEW, MANY = 40, 254  # values: more than FEW are hardly classes, more than MANY cannot be
_COLOUR_LINE = re.compile(r"(\d{1,3})[\s,;]+(\d{1,3})[\s,;]+(\d{1,3})[\s,;]+(\S.*)")
_COLOUR_LINE_BEHIND = re.compile(r"(.*\S)[\s,;]+(\d{1,3})[\s,;]+(\d{1,3})[\s,;]+(\d{1,3})")

Meaning = Literal["numbers", "values", "instances", "colours"]
Some = TypeVar("Some")


@dataclass(frozen=True)
class Pictures:
    """What images are like."""

    count: int
    looked: int  # how many of them were opened
    sizes: Counter[tuple[int, int]]  # (height, width) as shown
    kinds: Counter[str]  # "JPEG RGB", "PNG I;16", ...
    range: Ranges | None  # that reads all, where there are some of more than 8 bits
    held: Ranges | None  # lowest and highest number in those of more than 8 bits
    turned: int  # how many record an orientation
    channels: int = COLOURS  # `data.channels` that reads most of them
    alpha: int = 0  # how many have an alpha channel that is not the same everywhere
    unusable: dict[str, str] = field(default_factory=dict)  # name -> why it cannot be used


@dataclass(frozen=True)
class Masks:
    """What the values in masks seem to mean."""

    count: int
    looked: int
    kind: MaskKind  # "numbers" or "colours"
    meaning: Meaning
    shares: dict[int, float]  # value, or number of a colour -> share of all pixels, highest first
    names: dict[str, str] = field(default_factory=dict)  # value or colour, as `data.mask_values` has it -> class
    unusable: dict[str, str] = field(default_factory=dict)


def look_at_pictures(paths: Sequence[Path]) -> Pictures:
    """Opens images, at most `MOST_IMAGES`; of those with more than 8 bits a channel, the numbers of `MOST_DEEP`."""
    some = _spread(paths, MOST_IMAGES)
    sizes, kinds, unusable = Counter[tuple[int, int]](), Counter[str](), dict[str, str]()
    turned, each = 0, dict[Path, _Header]()
    for path in some:
        try:
            content = path.read_bytes()
            each[path] = header = _header(content)
        except (Unfit, OSError) as error:
            unusable[path.name] = "; ".join(map(str, error.args))
            continue
        orientation = orientation_of(content)
        turned += orientation != UPRIGHT
        height, width = header.size
        sizes[(width, height) if orientation in QUARTER else (height, width)] += 1
        kinds[header.kind] += 1
    channels = Counter(header.channels for header in each.values()).most_common(1)[0][0] if each else COLOURS
    for path, header in each.items():
        if header.channels != channels:
            unusable[path.name] = f"{counted(header.channels, 'channel')}, where most have {channels}"
    deep_ones = [path for path, header in each.items() if header.is_deep and header.channels == channels]
    held = _numbers_in(deep_ones, channels)
    limits = held and _ranges_for(held)
    alpha = sum(header.alpha for header in each.values())
    return Pictures(len(paths), len(some), sizes, kinds, limits, held, turned, channels, alpha, unusable)


def look_at_masks(paths: Sequence[Path], root: Path) -> Masks:
    """Decodes masks, at most `MOST_MASKS`, and tells what their values mean.

    Raises:
        Unfit: If none can be read.
    """
    some = _spread(paths, MOST_MASKS)
    kind: MaskKind = "colours" if any(_in_colour(path) for path in _spread(some, MOST_DEEP)) else "numbers"
    totals, each, unusable = Counter[int](), list[tuple[int, ...]](), dict[str, str]()
    for path in some:
        try:
            values, counts = np.unique(read_mask(path.read_bytes(), kind), return_counts=True)
        except (Unfit, OSError) as error:
            unusable[path.name] = ": ".join(map(str, error.args))
            continue
        totals.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        each.append(tuple(values.tolist()))
    if not totals:
        raise Unfit("masks that cannot be read", next(iter(unusable.values())))
    pixels = sum(totals.values())
    shares = {value: count / pixels for value, count in totals.most_common()}
    meaning: Meaning = "colours" if kind == "colours" else _meaning(sorted(shares), each)
    return Masks(len(paths), len(some), kind, meaning, shares, _names(root, sorted(shares), kind), unusable)


class _Header(NamedTuple):
    """What an image file is."""

    kind: str  # for people
    size: tuple[int, int]  # stored (height, width)
    is_deep: bool  # whether it has more than 8 bits a channel
    channels: int = COLOURS  # `data.channels` that reads it
    alpha: bool = False  # whether it has an alpha channel that is not the same everywhere


def _header(content: bytes) -> _Header:
    try:
        height, width = read_image(content).stored.shape[:2]
    except Unfit as unfit:
        if unfit.args[0] == MORE_CHANNELS:
            numbers = _all_channels(content)
            height, width, channels = numbers.shape
            kind = f"TIFF of {counted(channels, 'channel')} ({numbers.dtype})"
            return _Header(kind, (height, width), numbers.dtype != np.uint8, channels)
        if unfit.args[0] != NOT_8_BIT:
            raise
        numbers = deep.image_numbers(content, most_pixels())
        return _Header(f"{unfit.args[1]} ({numbers.dtype})", (numbers.shape[0], numbers.shape[1]), True)
    with Image.open(io.BytesIO(content)) as image:
        low, high = image.getchannel("A").getextrema() if image.mode == "RGBA" else (0, 0)
        return _Header(f"{image.format} {image.mode}", (height, width), False, alpha=low != high)


def _all_channels(content: bytes) -> NDArray[Any]:
    """All channels of a TIFF file that has further ones, without an alpha channel behind them.

    Raises:
        Unfit: If they cannot be read.
    """
    try:
        whole = deep.all_numbers(content, 0, most_pixels())
        return deep.all_numbers(content, whole.shape[2] - 1, most_pixels())
    except Exception as error:  # libraries let many kinds of error out of a damaged file
        raise Unfit(MORE_CHANNELS, str(error)) from None


def _numbers_in(paths: Sequence[Path], channels: int) -> Ranges | None:
    """The lowest and the highest number in images, of each channel where they are not read as RGB."""
    limits = []
    for path in _spread(paths, MOST_DEEP):
        content = path.read_bytes()
        if channels == COLOURS:
            numbers = deep.image_numbers(content, most_pixels()).reshape(-1, 1)
        else:
            numbers = deep.all_numbers(content, channels, most_pixels()).reshape(-1, channels)
        limits.append((np.nanmin(numbers, axis=0), np.nanmax(numbers, axis=0)))
    if not limits:
        return None
    lows, highs = (of([pair[i] for pair in limits], axis=0) for i, of in ((0, np.min), (1, np.max)))
    each = tuple((float(low), float(high)) for low, high in zip(lows, highs, strict=True))
    return each[0] if channels == COLOURS else each


def _ranges_for(held: Ranges) -> Ranges:
    """A range that holds numbers; of each channel where they are given so, but one where it is the same for all."""
    if isinstance(held[0], float):
        return _range_for((held[0], held[1]))
    each = tuple(_range_for(pair) for pair in held)
    return each[0] if len(set(each)) == 1 else each


def _range_for(held: Range) -> Range:
    """A range that holds numbers: [0, 1], [0, 2^n - 1], or the numbers' own limits."""
    low, high = held
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    whole = low == int(low) and high == int(high)
    if low >= 0 and whole and high < 2**16:
        return 0.0, float(2 ** max(8, int(high).bit_length()) - 1)
    return (low, high) if low < high else (low, low + 1)


def _in_colour(path: Path) -> bool:
    try:
        read_mask(path.read_bytes(), "numbers")
    except (Unfit, OSError) as error:
        return bool(error.args[0] == IN_COLOUR)
    return False


def _meaning(values: Sequence[int], each: Sequence[Sequence[int]]) -> Meaning:
    """What numbers mean, from those of all masks and of each."""
    named = [value for value in values if value != 255]
    # Instances are numbered from 1 in every image, as many as there are; classes are not all in every image.
    numbered = [held for held in each if list(held) == list(range(held[0], held[0] + len(held))) and held[0] in (0, 1)]
    ends = {held[-1] for held in numbered}
    as_instances = len(numbered) == len(each) > 3 and len(ends) > 3 and max(ends) > 4
    if len(values) > MANY or (len(named) > FEW and len(numbered) > 0.6 * len(each)) or as_instances:
        return "instances"
    whole = named == list(range(len(named))) and len(named) > 1
    dense = len(named) > 4 and named[0] == 0 and len(named) > DENSE * named[-1]
    return "numbers" if whole or dense else "values"


def _names(root: Path, values: Sequence[int], kind: MaskKind) -> dict[str, str]:
    """Names of classes from a text file beside the data: lines "128 64 128 road", or a name for each number."""
    held = {shown(value, kind) for value in values}
    for path in sorted(root.glob("*.txt")) + sorted(root.glob("*.csv")):
        try:
            lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError):
            continue
        names = dict[str, str]()
        for line in lines:
            if fits := _COLOUR_LINE.fullmatch(line):
                names[" ".join(str(int(part)) for part in fits.groups()[:3])] = fits[4]
            elif fits := _COLOUR_LINE_BEHIND.fullmatch(line):
                names[" ".join(str(int(part)) for part in fits.groups()[1:])] = fits[1]
        if kind == "colours" and len(names) > 1 and held & names.keys():
            return names
        if kind == "numbers" and path.stem.lower() in ("classes", "labels", "names", "class_names"):
            return {str(number): line for number, line in enumerate(lines)}
    return {}


def _spread(items: Sequence[Some], most: int) -> list[Some]:
    """Some items, evenly spread."""
    if len(items) <= most:
        return list(items)
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]
