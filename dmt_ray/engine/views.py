"""The view of unlabelled images that a student is given: other colours, and a box of another image (CutMix)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dmt_ray.engine.augment import FOR_BOXES, draw
from dmt_ray.engine.batch_loader import RngStream
from dmt_ray.engine.transfer import upload
from dmt_ray.losses.consistency import cutmix_boxes, paste


class Rows(NamedTuple):
    """Which images of a global batch a worker looks at.

    Attributes:
        needed: Rows of the global batch: the worker's own and those that are pasted into them.
        own: Places in ``needed`` of the worker's own rows.
        partners: Places in ``needed`` of the rows that are pasted into those.
    """

    needed: list[int]
    own: list[int]
    partners: list[int]


def rows_of(mine: Sequence[int], count: int, *, every: bool = False) -> Rows:
    """The rows that a worker looks at: every image is given a box of the next one of the global batch.

    Args:
        mine: The worker's rows.
        count: Number of rows of the global batch.
        every: Whether all rows are needed, for statistics over the global batch.
    """
    partners = [(row + 1) % count for row in mine]
    needed = list(dict.fromkeys(range(count) if every else [*mine, *partners]))
    place = {row: i for i, row in enumerate(needed)}
    return Rows(needed, [place[row] for row in mine], [place[row] for row in partners])


class View:
    """What a student sees of the unlabelled images of a step; two students see different views.

    Args:
        stream: The student's random numbers.
        photometric: Whether colours change.
        cutmix: Whether boxes are pasted.
        mean: Of the channels, float32 ``[3]`` on the device.
        std: Likewise.
    """

    def __init__(self, stream: RngStream, *, photometric: bool, cutmix: bool, mean: Tensor, std: Tensor) -> None:
        self._stream, self._photometric, self._cutmix = stream, photometric, cutmix
        self._mean, self._std = mean.view(3, 1, 1), std.view(3, 1, 1)

    def of(self, images: Tensor, rows: Rows, *, epoch: int, first: int) -> tuple[Tensor, Tensor]:
        """The student's images, and where they are another's.

        Args:
            images: Of ``rows.needed``, normalised, float32 ``[M, 3, h, w]``.
            rows: Which they are.
            epoch: The epoch.
            first: Place in the epoch of the global batch's row 0.

        Returns:
            Images of the worker's own rows, float32 ``[N, 3, h, w]``, and boxes, bool ``[N, h, w]``.
        """
        number = self._stream.number(True)
        if self._photometric:
            from dmt_ray.engine.strong import draw_strong, strong  # loads torchvision, which takes a second

            draws = draw_strong(self._stream.seed, number, epoch, [first + row for row in rows.needed])
            bright = (images * self._std + self._mean).clamp(0, 1)
            images = (strong(bright, draws, "photometric") - self._mean) / self._std
        own = images[rows.own]
        size = (images.shape[-2], images.shape[-1])
        if not self._cutmix:
            return own, torch.zeros(len(own), *size, dtype=torch.bool, device=images.device)
        mine = [first + rows.needed[i] for i in rows.own]
        drawn = draw(self._stream.seed, number, epoch, mine, numbers=3, use=FOR_BOXES)
        boxes = upload([cutmix_boxes(drawn, size).astype(np.uint8)], images.device).bool()
        return paste(boxes, own, images[rows.partners]), boxes
