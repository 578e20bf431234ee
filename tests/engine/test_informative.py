"""Which images are worth labelling: how they are judged, and how they are spread."""

import numpy as np
import pytest
import torch
from torch import nn

from dmt_ray.data.images import Images
from dmt_ray.engine.informative import drawn, judge, spread
from dmt_ray.engine.tiles import Predictor, Tiling
from dmt_ray.models import Padding

CPU = torch.device("cpu")


class Answers(nn.Module):
    """Gives bright pixels these probabilities, and dark ones class 0."""

    padding = Padding(1)

    def __init__(self, *bright: float) -> None:
        super().__init__()
        self.bright = torch.tensor(bright)

    def forward(self, images):
        bright = images.sum(dim=1, keepdim=True) > 0
        dark = torch.zeros_like(self.bright)
        dark[0] = 1
        chosen = torch.where(bright, self.bright.view(1, -1, 1, 1), dark.view(1, -1, 1, 1))
        return chosen.clamp(min=1e-30).log()


def subset(*bright_columns: int) -> Images:
    """Images of 2 x 4 pixels of which so many columns are white, the others black."""
    pixels = np.zeros((len(bright_columns), 2, 4, 3), np.uint8)
    for image, columns in zip(pixels, bright_columns, strict=True):
        image[:, :columns] = 255
    count = len(bright_columns)
    masks, known = np.full(count * 8, 255, np.uint8), np.zeros(count, np.bool_)
    sizes, ids = np.full((count, 2), (2, 4), np.int32), tuple(map(str, range(count)))
    return Images(ids, sizes, np.arange(count + 1) * 8, pixels.reshape(-1, 3), masks, known)


def test_an_image_is_judged_by_the_mean_of_a_map_over_its_pixels():
    predictor = Predictor([Answers(0.9, 0.1), Answers(0.2, 0.8)], Tiling((2, 4)), CPU, maps=["disagreement"])
    judged = judge(predictor, subset(4, 1, 0), [2, 1, 0], 2)
    # Bright pixels: half of |0.9 - 0.2| + |0.1 - 0.8| is 0.7, and the mean is (0.55, 0.45): class 0.
    assert judged.values["disagreement"] == pytest.approx([0, 0.7 / 4, 0.7])
    assert judged.shares.tolist() == [[1, 0]] * 3


def test_tiles_change_neither_the_mean_nor_the_shares():
    whole, tiles = (
        judge(
            Predictor([Answers(0.1, 0.9), Answers(0.3, 0.7)], tiling, CPU, maps=["entropy", "disagreement"]),
            subset(3, 2),
            [0, 1],
            2,
        )
        for tiling in (Tiling((2, 4)), Tiling((2, 2), overlap=0.5))
    )
    assert whole.shares.tolist() == tiles.shares.tolist() == [[0.25, 0.75], [0.5, 0.5]]
    assert tiles.values["disagreement"] == pytest.approx([0.2 * 3 / 4, 0.2 * 2 / 4])
    assert tiles.values["entropy"] == pytest.approx(whole.values["entropy"])


def test_the_second_image_is_the_one_that_differs_most_from_the_first():
    values = np.array([0.9, 0.8, 0.7, 0.1])
    shares = np.array([[1.0, 0.0], [0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
    # From the first the distances are 0.1, 0.8, 0.5; then the nearest of two: 0.1 and min(0.5, 0.3).
    assert spread(values, shares, 3) == [0, 2, 3]
    assert spread(values, shares, 4) == [0, 2, 3, 1]


def test_only_images_with_high_values_are_candidates():
    values = np.array([0.1, 0.9, 0.8, 0.7, 0.6])
    shares = np.array([[0.0, 1.0], [1.0, 0.0], [0.9, 0.1], [1.0, 0.0], [1.0, 0.0]])
    assert spread(values, shares, 1) == [1]
    # Of 8 candidates for two the first image, which differs most, is one; it is none of four for one.
    assert spread(values, shares, 2) == [1, 0]
    twelve = np.linspace(1, 0, 12)
    assert spread(twelve, np.eye(12), 2) == [0, 1]  # all differ alike: the higher value
    assert max(spread(twelve, np.eye(12), 2)) < 8


def test_images_that_look_alike_are_taken_once_each_by_their_values():
    assert spread(np.array([0.2, 0.4, 0.3]), np.ones((3, 1)), 3) == [1, 2, 0]


def test_a_draw_is_one_of_the_seed_and_fewer_are_the_first_of_more():
    assert drawn(100, 3, seed=1) == drawn(100, 9, seed=1)[:3]
    assert len(set(drawn(100, 9, seed=1))) == 9
    assert drawn(100, 9, seed=1) != drawn(100, 9, seed=2)
