"""What images and masks hold: sizes, depths, orientations, and the values or colours that become classes."""

import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from PIL import Image

from dmt_ray.data import deep
from dmt_ray.data.deep import Range
from dmt_ray.data.mask_values import shown
from dmt_ray.data.orientation import QUARTER, UPRIGHT, orientation_of
from dmt_ray.data.pictures import IN_COLOUR, NOT_8_BIT, MaskKind, Unfit, most_pixels, read_image, read_mask

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
    range: Range | None  # that reads all, where there are some of more than 8 bits
    held: Range | None  # lowest and highest number in those of more than 8 bits
    turned: int  # how many record an orientation
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
    deep_ones, turned = list[Path](), 0
    for path in some:
        try:
            content = path.read_bytes()
            kind, (height, width), is_deep = _header(content)
        except (Unfit, OSError) as error:
            unusable[path.name] = "; ".join(map(str, error.args))
            continue
        orientation = orientation_of(content)
        turned += orientation != UPRIGHT
        sizes[(width, height) if orientation in QUARTER else (height, width)] += 1
        kinds[kind] += 1
        if is_deep:
            deep_ones.append(path)
    held = _numbers_in(deep_ones)
    return Pictures(len(paths), len(some), sizes, kinds, held and _range_for(held), held, turned, unusable)


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


def _header(content: bytes) -> tuple[str, tuple[int, int], bool]:
    """What an image file is, its stored (height, width), and whether it has more than 8 bits a channel."""
    try:
        picture = read_image(content)
    except Unfit as unfit:
        if unfit.args[0] != NOT_8_BIT:
            raise
        numbers = deep.image_numbers(content, most_pixels())
        return f"{unfit.args[1]} ({numbers.dtype})", (numbers.shape[0], numbers.shape[1]), True
    with Image.open(io.BytesIO(content)) as image:
        return f"{image.format} {image.mode}", (picture.stored.height, picture.stored.width), False


def _numbers_in(paths: Sequence[Path]) -> Range | None:
    """The lowest and the highest number in images."""
    limits = []
    for path in _spread(paths, MOST_DEEP):
        numbers = deep.image_numbers(path.read_bytes(), most_pixels())
        limits.append((float(np.nanmin(numbers)), float(np.nanmax(numbers))))
    return (min(low for low, _ in limits), max(high for _, high in limits)) if limits else None


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
