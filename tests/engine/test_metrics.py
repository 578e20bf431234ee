import math

import pytest
import torch

from dmt_ray import IGNORE
from dmt_ray.engine.metrics import Confusion, iou, mean_iou, pixel_accuracy, right_probability

TRUTH = torch.tensor([[0, 0, 0, 1], [1, 1, IGNORE, IGNORE]])
PREDICTION = torch.tensor([[0, 0, 1, 1], [1, 3, 2, 0]])


def confusion_matrix(prediction: torch.Tensor, truth: torch.Tensor, classes: int) -> torch.Tensor:
    counts = Confusion(classes)
    counts.update(prediction, truth)
    return counts.matrix()


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


def test_a_mean_over_chosen_classes_leaves_all_others_out():
    matrix = confusion_matrix(PREDICTION, TRUTH, classes=4)
    assert mean_iou(matrix, [0, 1]) == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert mean_iou(matrix, [1, 2]) == pytest.approx(1 / 2)  # class 2 occurs neither in truth nor in prediction
    with pytest.raises(ValueError, match=r"none of the classes \[2\] occurs"):
        mean_iou(matrix, [2])


def test_batches_add_up():
    counts = Confusion(4)
    for prediction, truth in zip(PREDICTION, TRUTH):
        counts.update(prediction, truth)
    assert torch.equal(counts.matrix(), confusion_matrix(PREDICTION, TRUTH, classes=4))


def test_predictions_are_counted_where_nobody_knows_the_truth():
    counts = Confusion(4)
    counts.update(PREDICTION, TRUTH)
    assert counts.predicted().tolist() == [3, 3, 1, 1]
    assert counts.matrix().sum(dim=0).tolist() == [2, 3, 0, 1]


def test_255_classes_leave_room_for_the_label_of_no_class():
    counts = Confusion(256)  # as in labelling: a column more for pixels that got no label
    counts.update(torch.tensor([255, 254, 255]), torch.tensor([254, 254, IGNORE]))
    assert counts.matrix()[254, 254:].tolist() == [1, 1]
    assert counts.matrix().sum() == 2
    assert counts.predicted()[255] == 2


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
    with pytest.raises(ValueError, match="prediction must be between 0 and 2, but at 1 pixels it was not"):
        confusion_matrix(PREDICTION, TRUTH, classes=3)
    with pytest.raises(ValueError, match="truth must be between 0 and 3 or 255, but at 1 pixels it was not"):
        confusion_matrix(torch.tensor([0, 0]), torch.tensor([0, 9]), classes=4)


def test_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 4\) and \(4,\)"):
        confusion_matrix(PREDICTION, TRUTH[0], classes=4)


def test_no_score_of_a_set_without_labels():
    nothing = confusion_matrix(torch.tensor([0]), torch.tensor([IGNORE]), classes=2)
    for score in (mean_iou, pixel_accuracy):
        with pytest.raises(ValueError, match="counts no pixel"):
            score(nothing)


def test_fine_grained_testing_counts_a_right_decision_by_its_probability_and_a_wrong_one_not_at_all():
    probs = torch.tensor([[0.7, 0.2, 0.1], [0.4, 0.5, 0.1], [0.1, 0.3, 0.6], [0.9, 0.1, 0.0]])
    truth = torch.tensor([0, 0, 2, IGNORE])  # right, wrong, right, unknown
    sum_of_right = right_probability(probs.log().view(4, 3, 1, 1), truth.view(4, 1, 1))
    assert sum_of_right.item() == pytest.approx(0.7 + 0.6)
    assert sum_of_right.dtype == torch.float64
