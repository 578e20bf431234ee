"""The smallest data set on which a method can be performed: coloured squares that two classes stand for."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from dmt_ray.data.check import Problems
from dmt_ray.data.decode import Decoded
from dmt_ray.data.source import DataSource, Generated

COUNTS = {"train": 20, "val": 4, "test": 4}
SIDE = 32
COLOURS = np.array([[60, 60, 60], [200, 80, 80], [80, 200, 80]])


class SquaresData(DataSource):
    """A red and a green square on grey, with noise; 3 classes, 32 x 32."""

    in_files: ClassVar[bool] = False
    where: ClassVar[str] = "it is drawn by the program"

    name: Literal["check_squares"] = "check_squares"
    reported: Literal["test"] = "test"

    def content(self, root: Path, problems: Problems) -> Generated:
        """All subsets, drawn."""
        return Generated(("ground", "red", "green"), {subset: _images(subset) for subset in COUNTS}, {"revision": 1})


def _images(subset: str) -> Iterator[Decoded]:
    for number in range(COUNTS[subset]):
        generator = np.random.default_rng([list(COUNTS).index(subset), number])
        mask = np.zeros((SIDE, SIDE), np.uint8)
        for label in (1, 2):
            top, left = generator.integers(0, SIDE - 12, 2)
            mask[top : top + 12, left : left + 12] = label
        image = COLOURS[mask] + generator.integers(-20, 20, (SIDE, SIDE, 3))
        yield Decoded(f"{subset}_{number:02d}", image.clip(0, 255).astype(np.uint8), mask, known=True)
