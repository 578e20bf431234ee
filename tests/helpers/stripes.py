"""A data set of its own, as somebody adds one: a file such as this one, and a line in `config.DATA_SETS`."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from dmt_ray.data.check import Problems
from dmt_ray.data.decode import Decoded
from dmt_ray.data.source import DataSource, Generated


class StripesData(DataSource):
    """Bright stripes of one of two directions."""

    in_files: ClassVar[bool] = False
    where: ClassVar[str] = "it is drawn by the program"

    name: Literal["stripes"] = "stripes"
    reported: Literal["test"] = "test"
    width: int = 4

    def content(self, root: Path, problems: Problems) -> Generated:
        """Eight images to train, two to test."""
        subsets = {"train": self._images("train", 8), "test": self._images("test", 2)}
        return Generated(("dark", "bright"), subsets, {"revision": 1, "width": self.width})

    def _images(self, subset: str, count: int) -> Iterator[Decoded]:
        bright = (np.arange(16) // self.width % 2).astype(np.uint8)
        for i in range(count):
            mask = np.tile(bright, (16, 1)) if i % 2 else np.tile(bright[:, None], (1, 16))
            yield Decoded(f"{subset}_{i}", np.repeat(mask[..., None] * np.uint8(200), 3, axis=2), mask, known=True)
