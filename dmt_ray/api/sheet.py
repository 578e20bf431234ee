"""A contact sheet of pictures: each with its predicted classes and a map of how unsure the prediction is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

SIDE, GAP, TEXT = 200, 6, 18  # largest side of a small picture, space between, height of a line of text, in pixels
COLUMNS = 2  # entries beside each other, of three small pictures each


@dataclass(frozen=True, eq=False)
class Entry:
    """A picture on the sheet."""

    title: str
    image: Image.Image  # RGB
    classes: NDArray[np.uint8]  # ``[H, W]``, of the picture's size
    unsure: NDArray[np.uint8]  # ``[H, W]``; 255 is shown white


def contact_sheet(entries: Sequence[Entry], palette: NDArray[np.uint8]) -> Image.Image:
    """Draw a sheet of one or more entries: the picture, the classes over it, and the map, beneath a title.

    Args:
        entries: From left to right, then down.
        palette: Colours of the classes, ``[K, 3]``.
    """
    small = [_small(entry, palette) for entry in entries]
    wide, high = 3 * (SIDE + GAP) + GAP, TEXT + max(pictures[0].height for pictures in small) + GAP
    columns, rows = min(COLUMNS, len(entries)), -(-len(entries) // COLUMNS)
    sheet = Image.new("RGB", (columns * wide, rows * high), "white")
    draw = ImageDraw.Draw(sheet)
    for place, (entry, pictures) in enumerate(zip(entries, small, strict=True)):
        left, top = place % COLUMNS * wide + GAP, place // COLUMNS * high
        draw.text((left, top + 3), entry.title, "black")
        for column, picture in enumerate(pictures):
            sheet.paste(picture, (left + column * (SIDE + GAP), top + TEXT))
    return sheet


def _small(entry: Entry, palette: NDArray[np.uint8]) -> Sequence[Image.Image]:
    factor = SIDE / max(entry.image.size)
    width, height = (max(1, round(side * factor)) for side in entry.image.size)
    picture = entry.image.resize((width, height), Image.Resampling.BILINEAR)
    classes = np.asarray(Image.fromarray(entry.classes).resize((width, height), Image.Resampling.NEAREST))
    unsure = Image.fromarray(entry.unsure).resize((width, height), Image.Resampling.BILINEAR)
    return picture, Image.blend(picture, Image.fromarray(palette[classes]), 0.5), unsure.convert("RGB")
