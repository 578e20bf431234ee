"""Forward passes over whole images, for labelling and evaluation: eval mode, no augmentation, batches of one size."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from dmt_ray.data.images import Images
from dmt_ray.engine.transfer import upload
from dmt_ray.engine.workspace import MEAN, STD, Workspace

STRIDE = 32  # what the encoders divide height and width by


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
    """

    def __init__(self, network: nn.Module, work: Workspace, images: Images) -> None:
        self._network, self._images, self._device = network, images, work.device
        statistics = upload([np.array([MEAN, STD], np.float32)], work.device)
        self._mean, self._std = statistics.view(2, 3, 1, 1)
        self._dtype = next(network.parameters()).dtype
        self._padded = work.dataset.task == "segmentation"

    def inputs(self, chosen: Sequence[int]) -> Tensor:
        """What the network takes for images of one size: normalised.

        For segmentation padded with 0 before that to full strides; in classification it would be part of the image.
        """
        pixels = upload([self._images.image(i)[np.newaxis] for i in chosen], self._device)
        batch = pixels.permute(0, 3, 1, 2).float() / 255
        if self._padded:
            height, width = batch.shape[-2:]
            batch = nn.functional.pad(batch, (0, -width % STRIDE, 0, -height % STRIDE))
        normalised: Tensor = (batch - self._mean) / self._std
        return normalised.to(self._dtype, memory_format=torch.channels_last)

    @torch.inference_mode()
    def logits(self, chosen: Sequence[int]) -> Tensor:
        """Logits, float ``[N, K, H, W]`` (``[N, K, 1, 1]`` in classification), of images of one size."""
        height, width = (int(side) for side in self._images.sizes[chosen[0]])
        logits: Tensor = self._network(self.inputs(chosen))
        return logits[..., :height, :width]

    def masks(self, chosen: Sequence[int]) -> Tensor:
        """True masks, uint8 ``[N, H, W]`` (``[N, 1, 1]``), of images of one size."""
        return upload([self._images.mask(i)[np.newaxis] for i in chosen], self._device)
