"""A sheet of images with their masks over them: what a person looks at before any training (`dmt data show`)."""

from collections.abc import Sequence
from math import ceil

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from dmt_ray.data import Dataset
from dmt_ray.data.pictures import rgb
from dmt_ray.report.figures.kit import INK, SMALL, new_figure
from dmt_ray.report.figures.maps import name_classes, paint

COUNT, COLUMNS = 12, 4
CELL = 2.4  # inches of an image's width
SIDE = 480  # pixels of the longest side that is drawn
LONGEST = 26  # characters of a name


def sheet(dataset: Dataset, count: int = COUNT) -> Figure:
    """Some images of all subsets, halfway to the colours of their true classes, with a legend.

    Those with a mask come first, evenly spread over each subset; pixels without a class are drawn halfway to white.
    """
    places = _spread(dataset, count)
    rows, columns = ceil(len(places) / COLUMNS), min(COLUMNS, len(places))
    shown = [(_small(rgb(dataset.subsets[subset].image(i))), subset, i) for subset, i in places]
    aspect = max(image.shape[0] / image.shape[1] for image, _, _ in shown)
    figure = new_figure(rows * (CELL * aspect + 0.45) + 0.6, columns * CELL + 0.2)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    masks = []
    for (image, subset, i), place in zip(shown, axes, strict=False):
        images = dataset.subsets[subset]
        title = f"{subset}: {_short(images.ids[i])}"
        if dataset.task == "classification":
            title = f"{subset}: {dataset.classes[images.mask(i)[0, 0]]}"
        elif images.known[i]:
            masks.append(images.mask(i))
            image = _over(image, masks[-1], dataset.palette)
        else:
            title += " (no mask)"
        place.imshow(image)
        place.set_title(title, fontsize=SMALL, color=INK)
    for place in axes:
        place.axis("off")
    if masks:
        name_classes(figure, masks, dataset.palette, dataset.classes, int(columns * CELL / 1.4))
    return figure


def _spread(dataset: Dataset, count: int) -> list[tuple[str, int]]:
    """Subset and position of some images: most of the training images, an equal number of each other subset."""
    others = [name for name in dataset.subsets if name != "train"]
    each = max(1, count // (2 * len(others))) if others else 0
    places = []
    for name in ("train", *others):
        images = dataset.subsets[name]
        wanted = count - each * len(others) if name == "train" else each
        order: Sequence[int] = [*np.flatnonzero(images.known).tolist(), *np.flatnonzero(~images.known).tolist()]
        known = int(images.known.sum())
        within = known if known >= wanted else len(order)
        some = sorted({round(k * (within - 1) / max(1, wanted - 1)) for k in range(min(wanted, len(order)))})
        places += [(name, order[k]) for k in some]
    return places


def _small(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image that is no larger than it is drawn."""
    factor = SIDE / max(image.shape[:2])
    if factor >= 1:
        return image
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))


def _over(image: NDArray[np.uint8], mask: NDArray[np.uint8], palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image halfway to the colours of a mask."""
    size = (image.shape[1], image.shape[0])
    fitting = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    mixed: NDArray[np.uint8] = ((image.astype(np.uint16) + paint(fitting, palette)) // 2).astype(np.uint8)
    return mixed


def _short(name: str) -> str:
    """The end of a long name."""
    return name if len(name) <= LONGEST else f"...{name[3 - LONGEST :]}"
