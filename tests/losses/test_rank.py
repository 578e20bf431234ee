"""The weight of a label by its rank in the other teacher's prediction (RWMS, Eq. 4)."""

import pytest
import torch

from dmt_ray import IGNORE
from dmt_ray.engine.ranking import from_byte
from dmt_ray.losses.rules.rank import rank
from dmt_ray.losses.weighting import compare

PROBS = torch.tensor([0.2, 0.5, 0.3]).view(1, 3, 1, 1).expand(1, 3, 2, 2)  # of the student, which has no influence


def weights(ranks: list[list[int]], labels: list[list[int]], **values: float) -> list[float]:
    given = from_byte(torch.tensor([ranks], dtype=torch.uint8))
    target = rank(compare(PROBS, torch.tensor([labels]), given), **values)
    assert torch.equal(target.labels, torch.tensor([labels]))
    return target.weights.flatten().tolist()


def test_the_weight_falls_by_a_constant_factor_from_rank_to_rank():
    expected = [1.0, 0.60653, 0.36788, 0.60653]  # exp(-0.5 (x - 1))
    assert weights([[1, 2], [3, 2]], [[0, 1], [2, 2]], a=1.0, b=0.5) == pytest.approx(expected, abs=1e-5)


def test_a_scales_and_b_is_how_fast_it_falls():
    assert weights([[1, 2], [3, 1]], [[0, 1], [2, 2]], a=2.0, b=1.0) == pytest.approx(
        [2, 0.73576, 0.27067, 2], abs=1e-5
    )


def test_without_a_fall_every_label_weighs_the_same():
    assert weights([[1, 2], [3, 255]], [[0, 1], [2, 2]], a=1.0, b=0.0) == [1, 1, 1, 1]


def test_a_pixel_without_a_label_weighs_nothing():
    assert weights([[1, 1], [3, 1]], [[IGNORE, 1], [IGNORE, 2]], a=1.0, b=0.5) == [0, 1, 0, 1]
