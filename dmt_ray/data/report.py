"""What a data set holds, as text."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dmt_ray import IGNORE
from dmt_ray.config import COLOURS
from dmt_ray.data.dataset import Dataset
from dmt_ray.data.images import Images
from dmt_ray.plan.words import counted


def report(dataset: Dataset, further: Sequence[str] = ()) -> str:
    """Images, sizes and shares of the classes in each subset, as aligned text.

    The shares are of the pixels that have a class; the last line is the share of pixels that have none, over the
    images that have a mask. In classification it is the number of images of each class. Remarks on the data come last,
    behind them `further` ones.
    """
    head = [["subset", "images", "without mask", "height", "width"]]
    for name, images in dataset.subsets.items():
        low, high = images.sizes.min(axis=0), images.sizes.max(axis=0)
        extent = [f"{a}" if a == b else f"{a}-{b}" for a, b in zip(low, high, strict=True)]
        head.append([name, f"{len(images):,}", f"{np.count_nonzero(~images.known):,}", *extent])
    counts = [_pixels(images) for images in dataset.subsets.values()]
    if dataset.task == "classification":
        classes = [["class", *dataset.subsets]]
        classes += [[f"{k} {label}", *(f"{count[k]}" for count in counts)] for k, label in enumerate(dataset.classes)]
    else:
        classes = [["class", *(f"{name} %" for name in dataset.subsets)]]
        for k, label in enumerate(dataset.classes):
            shares = (count[k] / max(1, count[:IGNORE].sum()) for count in counts)
            classes.append([f"{k} {label}", *(f"{100 * share:.2f}" for share in shares)])
        classes.append(["no class", *(f"{100 * count[IGNORE] / max(1, count.sum()):.2f}" for count in counts)])
    channels = "" if dataset.channels == COLOURS else f", {counted(dataset.channels, 'channel')}"
    title = f"{dataset.name}: {len(dataset.classes)} classes{channels}, fingerprint {dataset.fingerprint}"
    remarks = [f"warning: {remark}" for remark in (*dataset.remarks, *further)]
    return "\n".join([title, "", *_aligned(head), "", *_aligned(classes), *([""] if remarks else []), *remarks])


def _pixels(images: Images) -> NDArray[np.int64]:
    """How many pixels of true masks hold each value, ``[256]``."""
    counts = np.zeros(256, np.int64)
    for i in np.flatnonzero(images.known):
        counts += np.bincount(images.mask(int(i)).ravel(), minlength=256)
    return counts


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
