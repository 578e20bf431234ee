"""Forward passes over whole images, for labelling and evaluation: eval mode, no augmentation, batches of one size."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from dmt_ray import models
from dmt_ray.data.images import Images
from dmt_ray.engine.finite import ADVICE, fault
from dmt_ray.engine.transfer import fetch, upload
from dmt_ray.engine.workspace import Workspace
from dmt_ray.errors import TrainingFailed


def by_size(images: Images, positions: Sequence[int], batch: int) -> Iterator[list[int]]:
    """Places in ``positions``, in batches of images that have the same size.

    An image's result must not depend on its company, so images of different sizes are never padded to each other's.
    """
    sizes = images.sizes[list(positions)]
    for size in np.unique(sizes, axis=0):
        places = np.flatnonzero((sizes == size).all(axis=1))
        for first in range(0, len(places), batch):
            yield places[first : first + batch].tolist()


class WholeImages:
    """The images of a subset, and a network's output for them. The host never waits for the device.

    Args:
        network: On the device, in eval mode.
        work: Device and statistics.
        images: The subset.
        name: Of the model, for people.
    """

    def __init__(self, network: nn.Module, work: Workspace, images: Images, name: str = "the model") -> None:
        self._network, self._images, self._device = network, images, work.device
        self._team, self._name, self._padding = work.team, name, models.padding_of(network)
        self._seen: list[int] = []
        self._finite: list[Tensor] = []  # of each image seen, whether its logits are
        self._mean, self._std = (values.view(-1, 1, 1) for values in work.statistics())
        self._dtype = next(network.parameters()).dtype

    def inputs(self, chosen: Sequence[int]) -> Tensor:
        """What the network takes for images of one size: padded with 0 to the sides that it takes, and normalised."""
        pixels = upload([self._images.image(i)[np.newaxis] for i in chosen], self._device)
        batch = pixels.permute(0, 3, 1, 2).float() / 255
        batch = nn.functional.pad(batch, self.padding(chosen))
        normalised: Tensor = (batch - self._mean) / self._std
        return normalised.to(self._dtype, memory_format=torch.channels_last)

    def padding(self, chosen: Sequence[int]) -> tuple[int, int, int, int]:
        """What images of one size are padded with, as `torch.nn.functional.pad` takes it."""
        height, width = (int(side) for side in self._images.sizes[chosen[0]])
        return self._padding.of(height, width)

    @torch.inference_mode()
    def logits(self, chosen: Sequence[int]) -> Tensor:
        """Logits, float ``[N, K, H, W]`` (``[N, K, 1, 1]`` in classification), of images of one size.

        Whoever has asked for them calls `check` before a number is made of them.
        """
        height, width = (int(side) for side in self._images.sizes[chosen[0]])
        logits: Tensor = self._network(self.inputs(chosen))
        logits = logits[..., :height, :width]
        self._seen += chosen
        self._finite.append(logits.isfinite().flatten(1).all(dim=1))
        return logits

    def check(self) -> None:
        """Make sure that all logits so far were finite; waits for the device. All workers of a team have to call it.

        Raises:
            TrainingFailed: If those of an image were not, with the model, the image and what is wrong with the layers.
        """
        finite = fetch({"": torch.cat(self._finite)})[""] if self._finite else torch.ones(0, dtype=torch.bool)
        strange = (~finite).nonzero().flatten().tolist()
        first = self._seen[strange[0]] if strange else len(self._images.ids)
        # Agreed upon, so that no worker of a team waits for one that has given up.
        position = int(self._team.rows(torch.tensor([first])).min())
        if position < len(self._images.ids):
            what = fault(self._network, self.inputs([position]))
            raise TrainingFailed(
                f"{self._name} gives logits that are not finite, first for the image "
                f"{self._images.ids[position]!r}{f': {what}' if what else ''}. {ADVICE}"
            )
        self._seen, self._finite = [], []

    def masks(self, chosen: Sequence[int]) -> Tensor:
        """True masks, uint8 ``[N, H, W]`` (``[N, 1, 1]``), of images of one size."""
        return upload([self._images.mask(i)[np.newaxis] for i in chosen], self._device)
