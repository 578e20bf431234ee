"""Prototypes and rectified labels (RML, Eq. 6-11), on values that can be checked by hand."""

import pytest
import torch

from dmt_ray.losses.prototypes import class_confidence, class_sums, moved, rectify


def test_confidence_is_the_softmax_of_the_negative_distances():
    # Eq. 9: distances 0 and 5 (a 3-4-5 triangle) to the two prototypes.
    features = torch.tensor([1.0, 2.0]).view(1, 2, 1, 1)
    confidence = class_confidence(features, torch.tensor([[1.0, 2.0], [4.0, 6.0]]))
    expected = 1 / (1 + torch.tensor(-5.0).exp())
    assert confidence.flatten().tolist() == pytest.approx([expected.item(), 1 - expected.item()], abs=1e-5)


def test_each_pixel_is_compared_with_the_prototypes_by_itself():
    features = torch.tensor([[[[0.0, 10.0]]]])  # one channel, two pixels
    confidence = class_confidence(features, torch.tensor([[0.0], [10.0]]))
    assert confidence.argmax(dim=1).tolist() == [[[0, 1]]]
    assert confidence.sum(dim=1).flatten().tolist() == pytest.approx([1, 1])


def test_a_label_that_its_prototype_does_not_support_is_rectified():
    # Eq. 6: 0.6 * 0.2 = 0.12 against 0.4 * 0.8 = 0.32, which sum to 0.44.
    probs, confidence = torch.tensor([0.6, 0.4]).view(1, 2, 1, 1), torch.tensor([0.2, 0.8]).view(1, 2, 1, 1)
    assert rectify(probs, confidence).flatten().tolist() == pytest.approx([0.12 / 0.44, 0.32 / 0.44])


def test_confidence_at_the_features_size_is_enlarged_to_the_labels():
    probs, confidence = torch.full((1, 2, 4, 4), 0.5), torch.tensor([0.9, 0.1]).view(1, 2, 1, 1).expand(1, 2, 2, 2)
    assert rectify(probs, confidence)[0, 0].flatten().tolist() == pytest.approx([0.9] * 16)


def test_sums_and_numbers_are_those_of_each_class_and_ignored_pixels_belong_to_none():
    features = torch.tensor([[[[1.0, 2.0, 3.0, 9.0]], [[10.0, 20.0, 30.0, 90.0]]]])  # 2 channels, 4 pixels
    sums, numbers = class_sums(features, torch.tensor([[[0, 2, 0, 255]]]), classes=3)
    assert sums.tolist() == [[4, 40], [0, 0], [2, 20]]
    assert numbers.tolist() == [2, 0, 1]


def test_labels_that_are_larger_than_the_features_are_read_at_the_nearest_pixel():
    labels = torch.tensor([[[0, 0, 1, 1], [0, 0, 1, 1]]])
    sums, _ = class_sums(torch.tensor([[[[5.0, 7.0]]]]), labels, classes=2)
    assert sums.flatten().tolist() == [5, 7]


def test_prototypes_follow_the_batch_and_a_class_it_does_not_have_stays():
    # Eq. 11: 0.9 * 1 + 0.1 * (6 / 2) = 1.2
    after = moved(torch.tensor([[1.0], [4.0]]), torch.tensor([[6.0], [0.0]]), torch.tensor([2.0, 0.0]), momentum=0.9)
    assert after.flatten().tolist() == pytest.approx([1.2, 4.0])


def test_with_aligned_corners_the_second_feature_lies_a_stride_from_the_first():
    probs, confidence = torch.full((1, 2, 1, 8), 0.5), torch.tensor([[[[0.1, 0.9, 0.9]], [[0.9, 0.1, 0.1]]]])
    rectified = rectify(probs, confidence, stride=4)[0, 0, 0]  # of pixels 0 ... 7, features at 0, 4 and 8
    assert rectified.tolist() == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9, 0.9, 0.9, 0.9])


def test_with_aligned_corners_a_feature_has_the_label_where_it_lies():
    labels = torch.tensor([[[0, 1, 1, 1, 2, 1, 1, 1]]])  # features at pixels 0, 4 and, beyond the image, 8
    sums, numbers = class_sums(torch.tensor([[[[5.0, 7.0, 9.0]]]]), labels, classes=3, stride=4)
    assert sums.flatten().tolist() == [5, 0, 7]
    assert numbers.tolist() == [1, 0, 1]
