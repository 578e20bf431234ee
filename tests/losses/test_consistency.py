"""CutMix, labels of the moment, squared differences, total variation, on values that can be checked by hand."""

import numpy as np
import pytest
import torch

from dmt_ray import IGNORE
from dmt_ray.losses.consistency import (
    cutmix_boxes,
    label_loss_sum,
    paste,
    sharpest,
    small_boxes,
    squared_loss_sum,
    total_variation_sum,
)


def pixels(*probs: list[float]) -> torch.Tensor:
    """Distributions of some pixels of one image in one row, ``[1, K, 1, W]``."""
    return torch.tensor(probs).T.unsqueeze(0).unsqueeze(2)


def test_a_box_has_half_the_area_whatever_its_shape():
    boxes = cutmix_boxes(np.array([[0.0, 0.0, 0.0], [0.5, 0.3, 0.9], [0.999, 0.5, 0.5]]), (64, 64))
    assert boxes.mean(axis=(1, 2)) == pytest.approx([0.5, 0.5, 0.5], abs=0.02)


def test_a_box_of_full_height_and_half_width_lies_where_its_draw_says():
    (box,) = cutmix_boxes(np.array([[0.0, 0.7, 0.999]]), (4, 8))
    assert box.tolist() == [[False] * 4 + [True] * 4] * 4  # the last of the five places of 4 columns among 8


def test_a_box_of_half_height_has_full_width():
    (box,) = cutmix_boxes(np.array([[1 - 1e-9, 0.0, 0.0]]), (4, 2))
    assert box.tolist() == [[True, True], [True, True], [False, False], [False, False]]


def test_draws_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\[N, 3\], but got \[2, 4\]"):
        cutmix_boxes(np.zeros((2, 4)), (4, 4))


def test_small_boxes_are_in_every_second_image_and_have_the_area_and_ratio_that_are_drawn():
    # 0.02 + 0.38 / 2 = 21 % of the area; 0.3 + 3.033 * 0.23 = a ratio of 1: both sides are the root of 0.21, 46 of 100
    (box, none) = small_boxes(np.array([[0.4, 0.5, 0.2308, 0.0, 0.999], [0.5, 0.5, 0.2308, 0.0, 0.999]]), (100, 100))
    assert box.sum() == box[:46, 54:].sum() == 46 * 46
    assert not none.any()


def test_a_small_box_is_no_longer_than_its_image():
    (box,) = small_boxes(np.array([[0.0, 0.9999, 0.9999, 0.0, 0.0]]), (10, 100))  # 1.15 times as high, 0.35 as wide
    assert box.all(axis=0).sum() == 35


def test_what_is_pasted_is_the_other_one_inside_the_box_alone():
    boxes = torch.tensor([[[True, False]]])
    labels = paste(boxes, torch.tensor([[[1, 2]]]), torch.tensor([[[3, 4]]]))
    images = paste(boxes, torch.zeros(1, 3, 1, 2), torch.ones(1, 3, 1, 2))
    assert labels.tolist() == [[[3, 2]]]
    assert images[0, :, 0].tolist() == [[1, 0]] * 3


def test_a_label_counts_only_where_its_teacher_is_surer_than_the_threshold():
    log_probs = pixels([0.5, 0.5], [0.25, 0.75], [0.5, 0.5]).log()
    labels, confidence = torch.tensor([[[0, 1, 1]]]), torch.tensor([[[0.99, 0.96, 0.95]]])
    loss = label_loss_sum(log_probs, labels, confidence, threshold=0.95)
    assert loss.item() == pytest.approx(-np.log(0.5) - np.log(0.75))  # 0.95 is not more than 0.95


def test_with_threshold_0_every_label_counts_but_those_of_padding():
    labels = torch.tensor([[[0, IGNORE]]])
    loss = label_loss_sum(pixels([0.5, 0.5], [0.5, 0.5]).log(), labels, torch.full((1, 1, 2), 0.6), threshold=0)
    assert loss.item() == pytest.approx(np.log(2))


def test_squared_differences_are_summed_over_classes_and_valid_pixels():
    student, teacher = pixels([0.5, 0.5], [0.1, 0.9]), pixels([0.8, 0.2], [0.9, 0.1])
    loss = squared_loss_sum(student, teacher, torch.tensor([[[True, False]]]))
    assert loss.item() == pytest.approx(0.3**2 + 0.3**2)


def test_the_teacher_is_given_no_gradient_by_squared_differences():
    student, teacher = pixels([0.5, 0.5]).requires_grad_(), pixels([0.8, 0.2]).requires_grad_()
    squared_loss_sum(student, teacher, torch.ones(1, 1, 1, dtype=torch.bool)).backward()
    assert student.grad is not None
    assert teacher.grad is None


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        pytest.param([0.3, 0.7], [0.3, 0.7], 0.0, id="the same"),
        pytest.param([1.0, 0.0], [0.0, 1.0], 1.0, id="opposite"),
        pytest.param([0.6, 0.4], [0.5, 0.5], 0.1, id="a little apart"),
    ],
)
def test_total_variation_of_one_pixel(first, second, expected):
    found = total_variation_sum(pixels(first), pixels(second), torch.ones(1, 1, 1, dtype=torch.bool))
    assert found.item() == pytest.approx(expected)


def test_the_likeliest_class_is_the_label_and_padding_has_none():
    labels, confidence = sharpest(pixels([0.2, 0.8], [0.9, 0.1]), torch.tensor([[[True, False]]]))
    assert labels.tolist() == [[[1, IGNORE]]]
    assert confidence[0, 0, 0].item() == pytest.approx(0.8)
