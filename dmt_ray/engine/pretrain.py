"""Pretrain: train a model on labelled images alone, whose labels may be as hurried annotators would draw them."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from dmt_ray import IGNORE
from dmt_ray.data.images import Images
from dmt_ray.data.splits import divide, dms_half
from dmt_ray.engine.batch_loader import BatchLoader, RngStream, Truth
from dmt_ray.engine.one_model import new_network, train_one
from dmt_ray.engine.workspace import Workspace
from dmt_ray.plan.operations.pretrain import Pretrain


def pretrain(config: Pretrain, work: Workspace) -> int:
    """Train a model on labelled images alone; writes the model and history.csv.

    Returns:
        Optimizer steps.
    """
    parts = divide(config.split, config.data, work.dataset)
    train = work.dataset.subsets["train"]
    labelled = {
        "labelled": parts.labelled,
        "dms": dms_half(parts.labelled, config.dms_alpha, config.side) if config.images == "dms" else (),
        "all": (*parts.labelled, *(i for i in parts.unlabelled if train.known[i])),
    }[config.images]
    network, description = new_network(config.model, config.side, 0, work)
    truth = partly_coarse(train, config.coarse, fine=parts.labelled) if config.coarse else None
    loader = BatchLoader(work, config.training, labelled, None, RngStream(work.seed, config.side, 0), truth)
    return train_one(network, description, config, loader, None, work)


def partly_coarse(images: Images, block: int, fine: Collection[int]) -> Truth:
    """The true label of an image by its position: as it is for those of ``fine``, coarsened for all others."""
    as_they_are = frozenset(fine)

    def truth(position: int) -> NDArray[np.uint8]:
        mask = images.mask(position)
        return mask if position in as_they_are else coarsened(mask, block)

    return truth


def coarsened(mask: NDArray[np.uint8], block: int) -> NDArray[np.uint8]:
    """A mask of which every block of ``block`` x ``block`` pixels is one class: its commonest, the lowest of equals.

    Pixels to `IGNORE` have no vote and take the class of their block; a block that holds nothing else stays `IGNORE`.
    The blocks at the right and the bottom are as small as the image leaves them.

    Args:
        mask: Classes or `IGNORE`, uint8 ``[H, W]``.
        block: Side of a block in pixels, at least 1.

    Returns:
        uint8 ``[H, W]``.

    Raises:
        ValueError: If the side is less than 1.
    """
    if block < 1:
        raise ValueError(f"a block must have a side of at least 1 pixel, but got {block}")
    height, width = mask.shape
    rows, columns = np.arange(height) // block, np.arange(width) // block
    blocks = rows[:, None] * (columns[-1] + 1) + columns
    valid = mask != IGNORE
    classes = int(mask[valid].max(initial=0)) + 1
    count = int(blocks[-1, -1]) + 1
    votes = np.bincount(blocks[valid] * classes + mask[valid], minlength=count * classes).reshape(count, classes)
    commonest = np.where(votes.any(axis=1), votes.argmax(axis=1), IGNORE).astype(np.uint8)
    coarse: NDArray[np.uint8] = commonest[blocks]
    return coarse
