import math

import pytest

from dmt_ray.config import Augment, Training
from dmt_ray.engine.ema import decay_of
from dmt_ray.engine.optimizer import learning_rate
from dmt_ray.plan.amounts import batch_of, images_of, steps

TRAINING = Training(epochs=2, learning_rate=0.1, batch=(8, 24), augment=Augment(crop=(8, 8)))
MATCHED = TRAINING.evolve(matched=True)


@pytest.mark.parametrize(
    ("n", "share", "expected"),
    [(10, 0.25, 2), (10, 1.0, 10), (3, 0.2, 1), (10, 0.7, 7), (100, 0.57, 57)],  # 100 * 0.57 is 56.99999999999999
)
def test_a_share_of_images_is_rounded_down_and_is_at_least_one(n, share, expected):
    assert images_of(n, share) == expected


@pytest.mark.parametrize(
    ("labelled", "pseudo", "expected"),
    [
        pytest.param(100, 300, (8, 24), id="1 : 3"),
        pytest.param(591, 5026, (3, 29), id="000: a tenth of the Oxford-IIIT Pets"),
        pytest.param(1, 10_000, (1, 31), id="at least one labelled image"),
        pytest.param(10_000, 1, (31, 1), id="at least one without a label"),
    ],
)
def test_a_matched_batch_is_shared_out_like_the_images(labelled, pseudo, expected):
    assert batch_of(MATCHED, labelled=labelled, pseudo=pseudo) == expected


def test_a_pass_over_the_unlabelled_images_is_then_about_one_over_the_labelled():
    first, second = batch_of(MATCHED, labelled=591, pseudo=5026)
    epoch = steps(MATCHED, labelled=591, pseudo=5026) // 2
    assert epoch == math.ceil(5026 / second)
    assert epoch * first == pytest.approx(591, rel=0.15)


def test_a_batch_that_is_not_matched_is_the_one_that_was_set():
    assert batch_of(TRAINING, labelled=1, pseudo=1000) == (8, 24)


def test_pretraining_has_no_batch_to_share_out():
    training = MATCHED.evolve(batch=(32, 0))
    assert batch_of(training, labelled=10, pseudo=0) == (32, 0)


def test_a_cosine_falls_from_the_learning_rate_over_its_half_to_0():
    training = TRAINING.evolve(schedule="cosine")
    rates = [learning_rate(training, step, 12) for step in (0, 4, 6, 8, 12)]
    assert rates == pytest.approx([0.1, 0.075, 0.05, 0.025, 0])


def test_poly_is_what_is_usual():
    assert learning_rate(TRAINING, 5, 10) == pytest.approx(0.1 * 0.5**0.9)


def test_a_moving_average_forgets_its_beginning_sooner_than_its_decay_says():
    training = TRAINING.evolve(ema=0.999)
    decays = [decay_of(training, step) for step in (0, 8, 90, 1_000_000)]
    assert decays == pytest.approx([0.1, 0.5, 0.91, 0.999])
