"""A data set of noise: images of chosen sizes with random pixels and masks, in memory."""

import numpy as np

from dmt_ray.data import Dataset, Images
from dmt_ray.engine.workspace import Workspace


def noise(sizes: list[tuple[int, int]], classes: int) -> Workspace:
    """The same images of these heights and widths in all subsets, all with masks; evaluated two at a time."""
    rng = np.random.default_rng(0)
    areas = np.array([h * w for h, w in sizes])
    images = Images(
        ids=tuple(f"image, {i}" for i in range(len(sizes))),
        sizes=np.array(sizes, np.int32),
        offsets=np.concatenate([[0], areas.cumsum()]),
        pixels=rng.integers(0, 256, (areas.sum(), 3), np.uint8),
        masks=rng.integers(0, classes, areas.sum()).astype(np.uint8),
        known=np.ones(len(sizes), bool),
    )
    subsets = {name: images for name in ("train", "val", "test")}
    names = tuple("abcdefghij"[:classes])
    return Workspace(Dataset("noise", names, np.zeros((classes, 3), np.uint8), "", subsets, None), eval_batch=2)
