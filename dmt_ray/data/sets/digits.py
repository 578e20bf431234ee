"""The built-in toy data set `digits`: handwritten digits of 8 x 8 pixels that scikit-learn brings along.

1,797 images of the test part of UCI's Optical Recognition of Handwritten Digits (E. Alpaydin, C. Kaynak, 1998, CC BY
4.0). Small as they are, they show in a minute what semi-supervised classification is about.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from PIL import Image

from dmt_ray.config import Task
from dmt_ray.data.check import Problems
from dmt_ray.data.decode import Decoded, Size, resized
from dmt_ray.data.source import DataSource, Generated

CLASSES = tuple("0123456789")
TEST = 50  # test images a class; all others are for training
REVISION = 1  # raised whenever the same working size gives other pixels

_SEED = 19980701  # of the draw of the test images
_HIGHEST = 16  # grey level of the files' white


class DigitsData(DataSource):
    """The built-in toy data set for classification: scikit-learn's handwritten digits, 10 classes, 8 x 8."""

    task: ClassVar[Task] = "classification"
    in_files: ClassVar[bool] = False
    where: ClassVar[str] = "it comes with scikit-learn and needs no download"

    name: Literal["digits"] = "digits"
    reported: Literal["test"] = "test"

    def content(self, root: Path, problems: Problems) -> Generated:
        """The images of "train" and "test"."""
        subsets = {"train": _images(False, self.size), "test": _images(True, self.size)}
        return Generated(CLASSES, subsets, {"revision": REVISION})


def _images(test: bool, size: Size) -> Iterator[Decoded]:
    from sklearn.datasets import load_digits  # no other data set needs scikit-learn

    digits = load_digits()
    grey = np.rint(digits.images * (255 / _HIGHEST)).astype(np.uint8)
    generator = np.random.default_rng(_SEED)
    is_test = np.zeros(len(digits.target), np.bool_)
    for number in range(len(CLASSES)):  # as many of each class
        is_test[generator.permutation(np.flatnonzero(digits.target == number))[:TEST]] = True
    for place in np.flatnonzero(is_test == test):
        image = Image.fromarray(grey[place]).convert("RGB")
        yield Decoded.of_class(f"digit_{place:04d}", resized(np.asarray(image), size), digits.target[place])
