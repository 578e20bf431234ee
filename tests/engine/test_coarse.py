import numpy as np
import pytest

from dmt_ray import IGNORE
from dmt_ray.config import override
from dmt_ray.data import Images
from dmt_ray.engine.pretrain import coarsened, partly_coarse
from dmt_ray.execution.runner import Runner
from dmt_ray.methods import oracle

X = IGNORE
MASK = np.array([
    [0, 0, 2, 1, X],
    [0, 1, 1, 2, X],
    [X, X, 3, X, 4],
    [X, X, X, X, 0],
    [5, 5, 5, 2, 1],
], np.uint8)  # fmt: skip


def test_every_block_is_its_commonest_class():
    assert coarsened(MASK, 2).tolist() == [
        [0, 0, 1, 1, X],  # three to one; two to two goes to the lower class; nothing but ignore
        [0, 0, 1, 1, X],
        [X, X, 3, 3, 0],  # one pixel speaks for all of its block
        [X, X, 3, 3, 0],
        [5, 5, 2, 2, 1],  # the last row and column are blocks of their own
    ]


@pytest.mark.parametrize("block", [5, 6, 100])
def test_a_block_as_large_as_the_image_is_one_class(block):
    assert (coarsened(MASK, block) == 0).all()  # four pixels are 0, four are 1, fewer any other


def test_blocks_of_one_pixel_leave_a_mask_alone():
    assert np.array_equal(coarsened(MASK, 1), MASK)


def test_a_mask_without_any_class_stays_without():
    assert (coarsened(np.full((4, 4), IGNORE, np.uint8), 2) == IGNORE).all()


def test_a_coarse_mask_is_new_and_of_bytes():
    before = MASK.copy()
    found = coarsened(MASK, 2)
    assert found.dtype == np.uint8
    assert np.array_equal(MASK, before)


def test_a_block_without_pixels_is_refused():
    with pytest.raises(ValueError, match="at least 1 pixel, but got 0"):
        coarsened(MASK, 0)


def test_only_images_outside_the_labelled_list_are_coarse():
    images = Images(
        ids=("labelled", "other"),
        sizes=np.full((2, 2), 5, np.int32),
        offsets=np.array([0, 25, 50]),
        pixels=np.zeros((50, 3), np.uint8),
        masks=np.tile(MASK.ravel(), 2),
        known=np.ones(2, bool),
    )
    truth = partly_coarse(images, 2, fine=[0])
    assert np.array_equal(truth(0), MASK)
    assert np.array_equal(truth(1), coarsened(MASK, 2))


def test_the_oracle_learns_from_the_coarse_labels(module_machine, tiny):
    runner = Runner(module_machine)
    short = runner.bind(override(tiny, {"oracle.epochs": 2}))
    stages = [oracle(short.evolve(coarse=block), 0).stages()[0] for block in (0, 1, 8)]
    runner.perform(stages)
    plain, same, coarse = ((runner.store.path(stage) / "model.safetensors").read_bytes() for stage in stages)
    assert same == plain
    assert coarse != plain
