"""mixup, on values that can be checked by hand."""

import math
from functools import partial

import pytest
import torch

from dmt_ray import IGNORE
from dmt_ray.losses.mixing import mix, mixed_cross_entropy_sum, mixing_share
from dmt_ray.losses.rules.disagreement import disagreement
from dmt_ray.losses.step import step_targets
from dmt_ray.losses.weighting import Target


@pytest.mark.parametrize(
    ("number", "alpha", "expected"),
    [
        pytest.param(0.0, 0.75, 0.5, id="the smallest is one half"),
        pytest.param(0.6, 1.0, 0.8, id="alpha 1 is uniform in [0.5, 1]"),
        pytest.param(0.5, 0.5, math.sin(math.pi / 2 * 0.75) ** 2, id="alpha 0.5 is the arcsine law"),
    ],
)
def test_lambda_is_the_larger_part_of_a_draw_from_a_beta_distribution(number, alpha, expected):
    assert mixing_share(number, alpha) == pytest.approx(expected)


def test_a_smaller_alpha_mixes_less():
    assert mixing_share(0.5, 0.1) > mixing_share(0.5, 0.75) > mixing_share(0.5, 4.0) > 0.5


def test_images_are_mixed_pixel_by_pixel():
    own, partners = torch.tensor([[1.0, 0.0], [0.0, 4.0]]), torch.tensor([[0.0, 4.0], [1.0, 0.0]])
    assert mix(own, partners, 0.75).tolist() == [[0.75, 1.0], [0.25, 3.0]]


def test_labels_and_dynamic_weights_are_mixed_like_the_images():
    probs = torch.tensor([[0.5, 0.5], [0.2, 0.8]])  # of two mixed images; each is the other's partner
    own = Target(torch.tensor([0, 1]), torch.tensor([1.0, 0.3]))
    partners = Target(own.labels.flip(0), own.weights.flip(0))
    total = mixed_cross_entropy_sum(probs.log(), own, partners, share=0.75)
    # The mixed weight times the mixed cross-entropy.
    first = (0.75 * 1.0 + 0.25 * 0.3) * (0.75 * -math.log(0.5) + 0.25 * -math.log(0.5))
    second = (0.75 * 0.3 + 0.25 * 1.0) * (0.75 * -math.log(0.8) + 0.25 * -math.log(0.2))
    assert total.item() == pytest.approx(first + second)
    assert first == pytest.approx(0.825 * 0.6931, abs=1e-4)
    assert second == pytest.approx(0.475 * 0.5697, abs=1e-4)


@pytest.mark.parametrize("share", [0.5, 0.75, 1.0])
def test_where_all_labels_weigh_the_same_they_are_mixed_as_in_mixup_itself(share):
    log_probs = torch.tensor([[0.5, 0.5], [0.2, 0.8]]).log()
    own = Target(torch.tensor([0, 1]), torch.ones(2))
    partners = Target(own.labels.flip(0), own.weights)
    total = mixed_cross_entropy_sum(log_probs, own, partners, share=share)
    expected = -math.log(0.5) - share * math.log(0.8) - (1 - share) * math.log(0.2)
    assert total.item() == pytest.approx(expected)


def test_a_label_that_is_ignored_adds_nothing_to_either_part():
    log_probs = torch.tensor([[0.5, 0.5], [0.5, 0.5]]).log()
    own = Target(torch.tensor([0, IGNORE]), torch.ones(2))
    partners = Target(own.labels.flip(0), own.weights)
    total = mixed_cross_entropy_sum(log_probs, own, partners, share=0.75)
    # The labelled image weighs 0.75 in its own mixture and 0.25 in its partner's, and so does its cross-entropy.
    assert total.item() == pytest.approx((0.75**2 + 0.25**2) * -math.log(0.5))


def test_the_gradient_is_that_of_the_mixed_images_alone():
    images = torch.randn(4, 3, requires_grad=True)
    weights = torch.rand(4, requires_grad=True)
    own = Target(torch.tensor([0, 1, 2, 0]), weights)
    partners = Target(own.labels.flip(0), weights.flip(0))
    mixed_cross_entropy_sum(images.log_softmax(dim=1), own, partners, share=0.6).backward()
    assert images.grad is not None
    assert weights.grad is None


def test_what_a_label_weighs_is_measured_where_the_student_was_asked():
    as_it_is = torch.tensor([[0.9, 0.1], [0.25, 0.75]]).log()  # the first image is labelled by people
    targets = step_targets(
        as_it_is,
        torch.tensor([1, 1]),
        torch.ones(2),
        labelled=1,
        rule=partial(disagreement, gamma1=2, gamma2=2),
    )
    assert targets.labels.tolist() == [1, 1]
    assert targets.weights.tolist() == pytest.approx([1, 0.75**2])
