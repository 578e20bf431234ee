"""What a data set holds, as text."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dmt_ray import IGNORE
from dmt_ray.data.dataset import Dataset
from dmt_ray.data.images import Images


def report(dataset: Dataset) -> str:
    """Images, sizes and shares of the classes in each subset, as aligned text.

    The shares are of the pixels that have a class; the last line is the share of pixels that have none, over the
    images that have a mask. In classification it is the number of images of each class.
    """
    subsets = list(dataset.subsets.items())
    head = [["subset", "images", "without mask", "height", "width"]]
    for name, images in subsets:
        low, high = images.sizes.min(axis=0), images.sizes.max(axis=0)
        extent = [f"{a}" if a == b else f"{a}-{b}" for a, b in zip(low, high, strict=True)]
        head.append([name, f"{len(images)}", f"{np.count_nonzero(~images.known)}", *extent])
    counts = [_pixels(images) for _, images in subsets]
    table = _numbers if dataset.task == "classification" else _shares
    classes = table(dataset.classes, [name for name, _ in subsets], counts)
    title = f"{dataset.name}: {len(dataset.classes)} classes, fingerprint {dataset.fingerprint}"
    return "\n".join([title, "", *_aligned(head), "", *_aligned(classes)])


def _numbers(classes: Sequence[str], subsets: Sequence[str], counts: Sequence[NDArray[np.int64]]) -> list[list[str]]:
    rows = [[f"{number} {label}", *(f"{count[number]}" for count in counts)] for number, label in enumerate(classes)]
    return [["class", *subsets], *rows]


def _shares(classes: Sequence[str], subsets: Sequence[str], counts: Sequence[NDArray[np.int64]]) -> list[list[str]]:
    rows = [["class", *(f"{name} %" for name in subsets)]]
    for number, label in enumerate(classes):
        row = [f"{100 * count[number] / max(1, count[:IGNORE].sum()):.2f}" for count in counts]
        rows.append([f"{number} {label}", *row])
    return [*rows, ["no class", *(f"{100 * count[IGNORE] / max(1, count.sum()):.2f}" for count in counts)]]


def _pixels(images: Images) -> NDArray[np.int64]:
    """How many pixels of true masks hold each value, ``[256]``."""
    counts = np.zeros(256, np.int64)
    for i in np.flatnonzero(images.known):
        counts += np.bincount(images.mask(int(i)).ravel(), minlength=256)
    return counts


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
