import math

import pytest
import torch

from dmt_ray.engine.metrics import confusion_matrix, iou, mean_iou, pixel_accuracy
from dmt_ray.losses import IGNORE

TRUTH = torch.tensor([[0, 0, 0, 1], [1, 1, IGNORE, IGNORE]])
PREDICTION = torch.tensor([[0, 0, 1, 1], [1, 3, 2, 0]])


def test_confusion_matrix_by_hand():
    matrix = confusion_matrix(PREDICTION, TRUTH, classes=4)
    assert matrix.tolist() == [[2, 1, 0, 0], [0, 2, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert matrix.dtype == torch.int64


def test_iou_of_an_absent_class_is_nan_and_of_a_wrongly_predicted_one_zero():
    ious = iou(confusion_matrix(PREDICTION, TRUTH, classes=4)).tolist()
    assert ious[:2] == [2 / 3, 2 / 4]
    assert math.isnan(ious[2])
    assert ious[3] == 0


def test_absent_classes_are_left_out_of_the_mean():
    assert mean_iou(confusion_matrix(PREDICTION, TRUTH, classes=4)) == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)


def test_pixel_accuracy_counts_labelled_pixels_only():
    assert pixel_accuracy(confusion_matrix(PREDICTION, TRUTH, classes=4)) == pytest.approx(4 / 6)


def test_scores_are_pooled_and_not_averaged_over_images():
    first = confusion_matrix(torch.tensor([0, 0, 0, 0]), torch.tensor([0, 0, 0, 1]), classes=2)
    second = confusion_matrix(torch.tensor([1]), torch.tensor([1]), classes=2)
    assert mean_iou(first + second) == pytest.approx((3 / 4 + 1 / 2) / 2)


def test_bytes_count_like_integers():
    as_bytes = confusion_matrix(PREDICTION.to(torch.uint8), TRUTH.to(torch.uint8), classes=4)
    assert torch.equal(as_bytes, confusion_matrix(PREDICTION, TRUTH, classes=4))


def test_a_class_out_of_range_is_refused_and_not_counted_elsewhere():
    with pytest.raises(ValueError, match="prediction must be between 0 and 2, but got 0 to 3"):
        confusion_matrix(PREDICTION, TRUTH, classes=3)
    with pytest.raises(ValueError, match="truth must be between 0 and 3 or 255, but got 0 to 9"):
        confusion_matrix(torch.tensor([0, 0]), torch.tensor([0, 9]), classes=4)


def test_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 4\) and \(4,\)"):
        confusion_matrix(PREDICTION, TRUTH[0], classes=4)


def test_no_score_of_a_set_without_labels():
    nothing = confusion_matrix(torch.tensor([0]), torch.tensor([IGNORE]), classes=2)
    for score in (mean_iou, pixel_accuracy):
        with pytest.raises(ValueError, match="counts no pixel"):
            score(nothing)
