"""Forward passes over whole images, for labelling and evaluation: eval mode, no augmentation, batches of one size."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from dmt_ray.data.images import Images
from dmt_ray.engine.workspace import Workspace

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


@torch.inference_mode()
def logits_of(network: nn.Module, work: Workspace, images: Images, chosen: Sequence[int]) -> Tensor:
    """Logits, float ``[N, K, H, W]``, of images of one size; padded with 0 before normalisation to full strides."""
    pixels = np.stack([images.image(i) for i in chosen])
    batch = torch.from_numpy(pixels).to(work.device).permute(0, 3, 1, 2).float() / 255
    height, width = batch.shape[-2:]
    batch = nn.functional.pad(batch, (0, -width % STRIDE, 0, -height % STRIDE))
    mean, std = work.statistics()
    normalised = (batch - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    dtype = next(network.parameters()).dtype
    logits: Tensor = network(normalised.to(dtype, memory_format=torch.channels_last))
    return logits[..., :height, :width]
