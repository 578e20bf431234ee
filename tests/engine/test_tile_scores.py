"""Validation in tiles: the same code as `dmt predict`, and nothing changes where it is not asked for."""

import numpy as np
import pytest
import torch
from torch import nn

from dmt_ray.config import override
from dmt_ray.data import Dataset, Images
from dmt_ray.engine.evaluate import score
from dmt_ray.engine.inference import WholeImages
from dmt_ray.engine.tile_scores import predictor_of, score_in_tiles
from dmt_ray.engine.workspace import Workspace
from dmt_ray.methods import METHODS
from dmt_ray.models import Padding
from dmt_ray.recipes import named


class Mean(nn.Module):
    """Class 1 where what it sees is bright on average, else 0: what it says depends on the tile."""

    padding = Padding(1)

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, images):
        bright = images.mean(dim=(1, 2, 3), keepdim=True).expand(-1, 1, *images.shape[-2:])
        return torch.cat([-bright, bright], dim=1)


@pytest.fixture
def work():
    """One image of 4 x 8 whose left half is dark and of class 0, and whose right half is bright and of class 1."""
    mask = np.zeros((4, 8), np.uint8)
    mask[:, 4:] = 1
    pixels = np.repeat(mask.reshape(-1, 1) * 255, 3, axis=1).astype(np.uint8)
    images = Images(
        ids=("a",),
        sizes=np.array([[4, 8]], np.int32),
        offsets=np.array([0, 32]),
        pixels=pixels,
        masks=mask.reshape(-1),
        known=np.array([True]),
    )
    palette = np.zeros((2, 3), np.uint8)
    return Workspace(Dataset("toy", ("dark", "bright"), palette, "", {"test": images}, None))


def test_tiles_are_seen_one_by_one(work):
    halves = score_in_tiles(predictor_of(Mean(), work, (4, 4, 0.0)), work, "test", [0])
    assert halves["miou"] == 1.0
    whole = score_in_tiles(predictor_of(Mean(), work, (4, 8, 0.0)), work, "test", [0])
    assert whole["pixel_accuracy"] == 0.5  # all of one class


def test_an_image_that_fits_in_one_tile_is_scored_as_ever(work):
    tiled = score_in_tiles(predictor_of(Mean(), work, (8, 8, 0.25)), work, "test", [0])
    assert tiled == score(WholeImages(Mean(), work, work.dataset.subsets["test"]), work, "test", [0], full=False)


def test_tiles_are_as_large_as_the_crops_and_change_the_key_only_where_they_are_set():
    plain = named("shapes")
    tiled = override(plain, {"scored_in_tiles": 0.25, "pretrain.augment.crop": [40, 48]})
    (before,), (after,) = (
        METHODS["baseline"](config, 0).rungs[0].values()
        for config in (override(plain, {"pretrain.augment.crop": [40, 48]}), tiled)
    )
    assert (before.config.tiles, after.config.tiles) == (None, (40, 48, 0.25))
    assert before.key != after.key
    assert before.inputs["model"].key == after.inputs["model"].key
    assert "tiles" not in before.config.identity()
