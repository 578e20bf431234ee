"""Pictures that have one class each: how `dmt predict` shows it."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

CAPTION = 0.12  # height of the line with the class, of the picture's height
LOWEST = 14  # pixels of that line
WIDEST = 0.62  # width of a character, of its height, about


def captioned(image: Image.Image, name: str, confidence: float, colour: NDArray[np.uint8]) -> Image.Image:
    """A picture with a line below it, in the class's colour, that names the class and its probability in percent."""
    text = f"{name} {100 * confidence:.0f} %"
    height = max(LOWEST, round(CAPTION * image.height))
    made = Image.new("RGB", (image.width, image.height + height), tuple(colour.tolist()))
    made.paste(image, (0, 0))
    size = min(0.7 * height, image.width / (WIDEST * len(text)))
    ink = "black" if colour.mean() > 127 else "white"
    place = (image.width / 2, image.height + height / 2)
    ImageDraw.Draw(made).text(place, text, ink, ImageFont.load_default(max(4.0, size)), anchor="mm")
    return made
