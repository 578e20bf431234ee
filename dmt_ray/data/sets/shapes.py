"""The built-in toy data set `shapes`: a small segmentation problem drawn by a program, no download needed.

Five classes of flat objects lie on random crops of the two photographs bundled with scikit-learn (china.jpg by
danielbuechele and flower.jpg by vultilion, both CC BY 2.0). Only the outline tells the classes apart for certain. Hue
and texture are tempting but unreliable cues: most objects have their own class's hue, the rest a random one. A network
that has seen few labels leans on them, is wrong with confidence where they lie, and so has errors to confirm or mend:
what self-training and mutual training are about.

The pixels depend on the subset's name, the index, the size and the decoded photographs. The latter come from the
installed JPEG decoder, so compare a digest of the arrays where two machines must agree.
"""

import zlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dmt_ray.data.check import Problems
from dmt_ray.data.decode import Decoded
from dmt_ray.data.source import DataSource, Generated
from dmt_ray.errors import DataError

CLASSES = ("background", "disc", "square", "triangle", "star", "cross")
COUNTS: Mapping[str, int] = MappingProxyType({"train": 500, "val": 200, "test": 200})
REVISION = 1  # raised whenever the same arguments give other pixels

SIDE = 64  # pixels, where no working size is set
SEED = 20210414
OBJECTS = (3, 6)  # fewest and most objects an image
RADIUS = (0.14, 0.30)  # of the image's side
HUE_CUE = 0.7  # how often an object has its own class's hue; else a random one
TEXTURE_CUE = 0.3  # how often an object has its own class's texture; else a random one
HUE_JITTER = 0.05  # sd, of the colour circle
OPACITY = (0.8, 1.0)
NOISE = (2.0, 10.0)  # sd of the sensor noise, in grey levels of 255
CROP = (0.25, 0.9)  # side of the background's crop, of the photograph's height
SUPERSAMPLING = 3  # a pixel's coverage is the mean over 3 x 3 points


class ShapesData(DataSource):
    """The built-in toy data set for segmentation: generated photographs-with-shapes, 6 classes, 64 x 64."""

    in_files: ClassVar[bool] = False
    where: ClassVar[str] = "it is drawn by the program and needs no download"

    name: Literal["shapes"] = "shapes"
    reported: Literal["val", "test"] = "test"

    def content(self, root: Path, problems: Problems) -> Generated:
        """All subsets, drawn."""
        height, width = self.size or (SIDE, SIDE)
        if height != width or height < 16:
            raise DataError(f"data.size of shapes must be a square of at least 16 x 16, but got {height} x {width}")
        made_by = {"revision": REVISION, "counts": COUNTS, "size": height}
        return Generated(CLASSES, {subset: _images(subset, height) for subset in COUNTS}, made_by)


def _images(subset: str, size: int) -> Iterator[Decoded]:
    for image, mask, id in zip(*generate(subset, size=size, counts=COUNTS), strict=True):
        yield Decoded(id, image, mask, known=True)


def generate(
    subset: str, *, size: int = 64, counts: Mapping[str, int] = COUNTS
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], list[str]]:
    """Draws all images of one subset.

    Every image has a random generator of its own, so image i does not depend on how many are drawn.

    Args:
        subset: "train", "val" or "test" (a key of `counts`).
        size: Side of the square images in pixels, at least 16.
        counts: How many images each subset has.

    Returns:
        Images, uint8 RGB ``[N, size, size, 3]``; masks, uint8 ``[N, size, size]`` with values 0..5 that index
        `CLASSES`; and the images' names, such as "train_0007".

    Raises:
        ValueError: If the subset is not in `counts`, its count is negative or the size is below 16.
    """
    if subset not in counts:
        raise ValueError(f"shapes has the subsets {', '.join(counts)}, but got {subset!r}")
    if counts[subset] < 0:
        raise ValueError(f"the number of images must not be negative, but {subset!r} has {counts[subset]}")
    if size < 16:
        raise ValueError(f"size must be at least 16 pixels for shapes to be distinguishable, but got {size}")
    images = np.empty((counts[subset], size, size, 3), dtype=np.uint8)
    masks = np.empty((counts[subset], size, size), dtype=np.uint8)
    for index in range(counts[subset]):
        images[index], masks[index] = _draw(np.random.default_rng([SEED, zlib.crc32(subset.encode()), index]), size)
    return images, masks, [f"{subset}_{index:04d}" for index in range(counts[subset])]


def _draw(rng: np.random.Generator, size: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    image = _background(rng, size)
    mask = np.zeros((size, size), dtype=np.uint8)
    for _ in range(rng.integers(OBJECTS[0], OBJECTS[1] + 1)):
        label = int(rng.integers(1, len(CLASSES)))
        coverage = _coverage(rng, label, size)
        alpha = (coverage * rng.uniform(*OPACITY))[..., None]
        image = (1 - alpha) * image + alpha * _surface(rng, label, size)
        mask[coverage >= 0.5] = label
    image = image * rng.uniform(0.75, 1.15) + rng.normal(0.0, rng.uniform(*NOISE), image.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), mask


@cache
def _photographs() -> tuple[Image.Image, ...]:
    from sklearn.datasets import load_sample_images  # no other data set needs scikit-learn

    return tuple(Image.fromarray(photograph) for photograph in load_sample_images().images)


def _background(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    photograph = _photographs()[int(rng.integers(len(_photographs())))]
    side = rng.uniform(*CROP) * photograph.height
    left, top = rng.uniform(0, photograph.width - side), rng.uniform(0, photograph.height - side)
    box = (left, top, left + side, top + side)
    crop = np.asarray(photograph.resize((size, size), Image.Resampling.BILINEAR, box=box), dtype=np.float64)
    return crop[:, ::-1] if rng.random() < 0.5 else crop


def _coverage(rng: np.random.Generator, label: int, size: int) -> NDArray[np.float64]:
    """The part of every pixel that a randomly placed object of the class covers, ``[size, size]`` in 0..1."""
    radius, angle = rng.uniform(*RADIUS), rng.uniform(0, 2 * np.pi)
    x0, y0 = rng.uniform(0.08, 0.92, size=2)
    points = (np.arange(size * SUPERSAMPLING) + 0.5) / (size * SUPERSAMPLING)
    x, y = points[None, :] - x0, points[:, None] - y0
    u = (np.cos(angle) * x + np.sin(angle) * y) / radius
    v = (np.cos(angle) * y - np.sin(angle) * x) / radius
    inside = _inside(label, u, v).reshape(size, SUPERSAMPLING, size, SUPERSAMPLING)
    covered: NDArray[np.float64] = inside.mean(axis=(1, 3))
    return covered


def _inside(label: int, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether points lie in the outline of a class around the origin.

    All outlines have the area of a disc of radius 0.8 within a few per cent, so size does not give the class away.
    """
    inside: NDArray[np.bool_]
    match CLASSES[label]:
        case "disc":
            inside = u**2 + v**2 < 0.8**2
        case "square":
            inside = np.maximum(np.abs(u), np.abs(v)) < 0.71
        case "triangle":
            inside = np.maximum(-v, np.abs(u) * np.sqrt(0.75) + v / 2) < 0.62
        case "star":
            spoke = np.abs((np.arctan2(u, v) / (2 * np.pi / 5) + 0.5) % 1 - 0.5) * 2  # 0 on a tip, 1 in a notch
            inside = np.hypot(u, v) < 0.45 + 0.75 * (1 - spoke) ** 1.3
        case "cross":
            inside = (np.minimum(np.abs(u), np.abs(v)) < 0.3) & (np.maximum(np.abs(u), np.abs(v)) < 0.98)
        case name:
            raise ValueError(f"{name!r} has no outline")
    return inside


def _surface(rng: np.random.Generator, label: int, size: int) -> NDArray[np.float64]:
    """An object's colours, ``[size, size, 3]`` in 0..255: one hue, brightened and darkened by a texture."""
    look = label if rng.random() < HUE_CUE else int(rng.integers(1, len(CLASSES)))
    hue = (look - 1) / 5 + rng.normal(0.0, HUE_JITTER)
    colour = _rgb(hue, saturation=rng.uniform(0.35, 0.9), value=rng.uniform(110, 235))
    pattern = label if rng.random() < TEXTURE_CUE else int(rng.integers(1, len(CLASSES)))
    shade = 1 + rng.uniform(0.1, 0.3) * _texture(rng, pattern, size)
    surface: NDArray[np.float64] = shade[..., None] * colour
    return surface


def _texture(rng: np.random.Generator, pattern: int, size: int) -> NDArray[np.float64]:
    """A pattern of values in -1..1, ``[size, size]``: plain, stripes, chequers, dots or grain."""
    angle, period = rng.uniform(0, np.pi), rng.uniform(0.06, 0.12) * 2 / np.pi
    phase = rng.uniform(0, 2 * np.pi, size=2)
    y, x = np.mgrid[:size, :size] / size
    a = np.sin((np.cos(angle) * x + np.sin(angle) * y) * 4 / period + phase[0])
    b = np.sin((np.cos(angle) * y - np.sin(angle) * x) * 4 / period + phase[1])
    values: NDArray[np.float64]
    match pattern:
        case 1:
            values = np.zeros((size, size))
        case 2:
            values = np.sign(a)
        case 3:
            values = np.sign(a * b)
        case 4:
            values = np.where(a + b > 0.9, 1.0, -0.4)
        case _:
            values = rng.uniform(-1, 1, (size, size))
    return values


def _rgb(hue: float, *, saturation: float, value: float) -> NDArray[np.float64]:
    """The colour of a hue on a circle of length 1, in the units of `value`."""
    channels = np.clip(np.abs((hue + np.array([0, 2 / 3, 1 / 3])) % 1 * 6 - 3) - 1, 0, 1)
    colour: NDArray[np.float64] = value * (1 - saturation * (1 - channels))
    return colour
