"""The embedded data set `digits`: handwritten digits of 8 x 8 pixels that scikit-learn brings along.

1,797 images of the test part of UCI's Optical Recognition of Handwritten Digits (E. Alpaydin, C. Kaynak, 1998, CC BY
4.0). Small as they are, they show in a minute what semi-supervised classification is about.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from dmt_ray.data.decode import Decoded, Size

CLASSES = tuple("0123456789")
TEST = 50  # images a class that are reported; all others are for training
REVISION = 1
"""Raised whenever the same working size gives other pixels."""

_SEED = 19980701  # of the draw of the test images
_HIGHEST = 16  # grey level of the files' white


def generate(size: Size) -> dict[str, list[Decoded]]:
    """The images of "train" and "test".

    Args:
        size: Working (height, width); None: 8 x 8.
    """
    found = load_digits()
    grey = np.rint(found.images * (255 / _HIGHEST)).astype(np.uint8)
    reported = _reported(found.target)
    return {
        "train": list(_decoded(grey, found.target, np.flatnonzero(~reported), size)),
        "test": list(_decoded(grey, found.target, np.flatnonzero(reported), size)),
    }


def _reported(classes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which images are reported: as many of each class, drawn once."""
    generator = np.random.default_rng(_SEED)
    chosen = np.zeros(len(classes), np.bool_)
    for number in range(len(CLASSES)):
        chosen[generator.permutation(np.flatnonzero(classes == number))[:TEST]] = True
    return chosen


def _decoded(
    grey: NDArray[np.uint8], classes: NDArray[np.int64], places: NDArray[np.int64], size: Size
) -> Iterator[Decoded]:
    for place in places:
        image = Image.fromarray(grey[place]).convert("RGB")
        if size is not None:
            image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
        yield Decoded(f"digit_{place:04d}", np.asarray(image), np.full((1, 1), classes[place], np.uint8), known=True)
