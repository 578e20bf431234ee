import numpy as np
import pytest
import torch

from dmt_ray import IGNORE
from dmt_ray.engine.ranking import (
    Ranking,
    Tally,
    decode,
    encode,
    from_byte,
    most_confident,
    predict,
    renormalise,
    select,
    to_byte,
)


def ranking_of(labels: np.ndarray, codes: np.ndarray, classes: int) -> Ranking:
    ranking = Ranking(classes)
    ranking.update(torch.from_numpy(labels), torch.from_numpy(codes))
    return ranking


def selected(labels: np.ndarray, codes: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    return select(*(torch.from_numpy(array) for array in (labels, codes, thresholds))).numpy()


def lowest_kept(codes: np.ndarray, share: float) -> int:
    """The authors' rule by a full sort."""
    if share == 1 or len(codes) * share < 1:
        return int(codes.min())
    return int(np.sort(codes)[-(int(len(codes) * share) + 1)])


def test_codes_rise_with_confidence_over_all_magnitudes():
    doubt = torch.tensor([1, 0.9, 0.5, 0.1, 1e-2, 1e-4, 1e-7, 1e-9, 1e-20, 1e-37, 0])
    codes = encode(doubt).numpy()
    assert codes.dtype == np.uint16
    assert (np.diff(codes.astype(int)) > 0).all()
    assert (codes[0], codes[-1]) == (0, 0xFE00)


def test_doubts_that_differ_by_one_part_in_500_have_different_codes():
    doubt = torch.from_numpy(np.geomspace(1e-30, 1, 10_000, dtype=np.float32))
    assert (encode(doubt).int() > encode((doubt * 1.002).clamp(max=1)).int())[:-1].all()


def test_decoding_is_right_to_one_part_in_a_thousand_of_the_doubt():
    doubt = torch.from_numpy(np.geomspace(1e-3, 1, 10_000, dtype=np.float32))
    assert ((1 - decode(encode(doubt))) / doubt - 1).abs().max() < 1.05e-3
    assert decode(encode(torch.zeros(1))).item() == 1


def test_prediction_of_one_pixel():
    prediction = predict(torch.tensor([[0.1, 0.7, 0.2]]).log())
    assert prediction.labels.tolist() == [1]
    assert decode(prediction.codes).item() == pytest.approx(0.7, abs=0.3 / 500)


def test_confidences_that_float32_cannot_tell_apart_keep_their_order():
    logits = torch.tensor([[20.0, 0.0], [21.0, 0.0], [40.0, 0.0]])  # softmax: 1 - 2e-9, 1 - 8e-10, 1 - 4e-18
    assert logits.softmax(dim=1).amax(dim=1).unique().numel() == 1
    codes = predict(logits).codes.numpy()
    assert codes[0] < codes[1] < codes[2]
    np.testing.assert_array_equal(codes, encode(1 / (1 + torch.tensor([20.0, 21.0, 40.0]).double().exp())))


def test_prediction_agrees_with_softmax_in_double_precision():
    logits = 4 * torch.randn(2, 7, 5, 3, generator=torch.Generator().manual_seed(0))
    prediction = predict(logits)
    probs = logits.double().softmax(dim=1)
    assert torch.equal(prediction.labels.long(), probs.argmax(dim=1))
    torch.testing.assert_close(decode(prediction.codes).double(), probs.amax(dim=1), rtol=0, atol=1.05e-3)


def test_threshold_by_hand():
    labels = np.array([0, 0, 0, 0, 0, 1, 1], np.uint8)
    codes = np.array([10, 20, 30, 40, 50, 7, 9], np.uint16)
    ranking = ranking_of(labels, codes, classes=2)
    # 5 * 0.4 = 2: the value at place -3; 2 * 0.4 < 1: all of class 1.
    assert ranking.thresholds(0.4, "class_balanced").tolist() == [30, 7]
    # 7 * 0.4 = 2.8: the value at place -3 of 7 9 10 20 30 40 50.
    assert ranking.thresholds(0.4, "global").tolist() == [30, 30]


def test_a_share_of_one_keeps_everything():
    labels, codes = np.array([0, 0, 1], np.uint8), np.array([0, 5, 9], np.uint16)
    ranking = ranking_of(labels, codes, classes=2)
    for rule in ("class_balanced", "global"):
        assert selected(labels, codes, ranking.thresholds(1.0, rule)).tolist() == [0, 0, 1]


@pytest.mark.parametrize("seed", range(40))
def test_what_is_kept_is_what_a_full_sort_keeps(seed):
    random = np.random.default_rng(seed)
    classes, pixels = int(random.integers(1, 6)), int(random.integers(1, 400))
    labels = random.integers(0, classes, pixels).astype(np.uint8)
    codes = random.integers(0, random.choice([3, 50, 0xFE01]), pixels).astype(np.uint16)  # few values: many ties
    share = float(random.choice([0.01, 0.2, 0.4, 0.6, 0.8, 0.999, 1.0]))
    ranking = ranking_of(labels, codes, classes)

    kept = selected(labels, codes, ranking.thresholds(share, "class_balanced"))
    for k in np.unique(labels):
        expected = codes[labels == k] >= lowest_kept(codes[labels == k], share)
        np.testing.assert_array_equal(kept[labels == k] != IGNORE, expected)
    kept = selected(labels, codes, ranking.thresholds(share, "global"))
    np.testing.assert_array_equal(kept, np.where(codes >= lowest_kept(codes, share), labels, IGNORE))


def test_batches_and_workers_add_up():
    random = np.random.default_rng(1)
    labels, codes = random.integers(0, 3, 60).astype(np.uint8), random.integers(0, 0xFE01, 60).astype(np.uint16)
    whole = ranking_of(labels, codes, classes=3)
    first, second = ranking_of(labels[:20], codes[:20], classes=3), ranking_of(labels[20:40], codes[20:40], classes=3)
    second.update(torch.from_numpy(labels[40:]), torch.from_numpy(codes[40:]))
    first.counts += second.counts
    assert torch.equal(first.counts, whole.counts)


@pytest.mark.parametrize("rule", ["class_balanced", "global"])
@pytest.mark.parametrize("share", [0.2, 1.0])
def test_a_class_that_is_never_predicted_is_no_crash(rule, share):
    labels, codes = np.array([0, 0, 2], np.uint8), np.array([5, 6, 7], np.uint16)
    thresholds = ranking_of(labels, codes, classes=4).thresholds(share, rule)
    assert thresholds.shape == (4,)
    if rule == "class_balanced":
        assert decode(torch.from_numpy(thresholds[[1, 3]])).tolist() == [1, 1]


def test_no_pixel_at_all_is_no_crash():
    ranking = Ranking(2)
    ranking.update(torch.zeros(0, dtype=torch.uint8), torch.zeros(0, dtype=torch.uint16))
    assert decode(torch.from_numpy(ranking.thresholds(0.5, "global"))).tolist() == [1, 1]


def test_padding_is_neither_counted_nor_selected():
    labels, codes = np.array([0, IGNORE, 1], np.uint8), np.array([5, 60000, 7], np.uint16)
    ranking = ranking_of(labels, codes, classes=2)
    assert ranking.counts.sum() == 2
    assert selected(labels, codes, ranking.thresholds(1.0, "class_balanced")).tolist() == [0, IGNORE, 1]


def test_renormalising_turns_the_papers_example_to_class_one():
    assert renormalise(torch.tensor([[0.6, 0.4]]), torch.tensor([0.61, 0.39])).tolist() == [1]


def test_renormalising_by_hand():
    probs = torch.tensor([[[0.7, 0.55]], [[0.3, 0.45]]]).unsqueeze(0)  # two pixels, two classes
    labels = renormalise(probs, torch.tensor([0.6, 0.5]))
    assert labels.tolist() == [[[0, IGNORE]]]


def test_bytes_of_confidence():
    assert to_byte(torch.tensor([0.0, 0.5, 0.9, 1.0])).tolist() == [0, 128, 230, 255]
    every = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_byte(from_byte(every)), every)
    confidence = torch.rand(1000, generator=torch.Generator().manual_seed(0))
    assert (from_byte(to_byte(confidence)) - confidence).abs().max() <= 1 / 510 + 1e-6


def test_bad_input_is_refused():
    ranking = Ranking(2)
    codes = torch.zeros(2, dtype=torch.uint16)
    with pytest.raises(ValueError, match="labels and codes"):
        ranking.update(torch.tensor([0]), codes)
    with pytest.raises(ValueError, match="share must be above 0 and at most 1, but got 0"):
        ranking.thresholds(0, "global")
    with pytest.raises(ValueError, match="'top'"):
        ranking.thresholds(0.5, "top")
    with pytest.raises(ValueError, match="2 classes need as many thresholds"):
        renormalise(torch.tensor([[0.6, 0.4]]), torch.tensor([0.5]))


@pytest.mark.parametrize("label", [2, -1, 254])
def test_a_label_that_is_no_class_is_refused_when_thresholds_are_read(label):
    ranking = Ranking(2)
    ranking.update(torch.tensor([0, label, IGNORE]), torch.zeros(3, dtype=torch.uint16))
    assert ranking.counts.sum() == 1
    with pytest.raises(ValueError, match="labels must be 255 or between 0 and 1, but 1 of them were not"):
        ranking.thresholds(0.5, "global")


def test_selection_by_hand():
    labels, codes = np.array([[0, 0, 1, IGNORE]], np.uint8), np.array([[9, 10, 65000, 65000]], np.uint16)
    kept = selected(labels, codes, np.array([10, 65001], np.uint16))
    assert kept.dtype == np.uint8
    assert kept.tolist() == [[IGNORE, 0, IGNORE, IGNORE]]


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        pytest.param(0.1, [1], id="at least one"),
        pytest.param(0.5, [1, 4], id="rounded down"),
        pytest.param(0.6, [0, 1, 4], id="of equally sure ones the first"),
        pytest.param(1.0, [0, 1, 2, 3, 4], id="all"),
    ],
)
def test_of_images_exactly_the_surest_share_is_kept(share, expected):
    codes = np.array([7, 9, 7, 3, 8], np.uint16)
    assert np.flatnonzero(most_confident(codes, share)).tolist() == expected


def test_the_surest_of_no_share_are_refused():
    with pytest.raises(ValueError, match="share must be above 0 and at most 1, but got 0"):
        most_confident(np.zeros(2, np.uint16), 0)


def test_errors_are_those_of_the_surest_share_whose_truth_is_known():
    labels = torch.tensor([[0, 1, 2], [0, 1, 2]], dtype=torch.uint8)
    codes = torch.tensor([[60, 50, 40], [30, 20, 10]], dtype=torch.uint16)
    truth = torch.tensor([[0, 1, IGNORE], [1, 1, 0]], dtype=torch.uint8)  # right, right, unknown, wrong, right, wrong
    tally = Tally()
    for row in range(2):  # two batches
        tally.update(labels[row], codes[row], truth[row])
    assert tally.errors((0.2, 0.4, 0.6, 0.8, 1.0)) == pytest.approx([0, 0, 1 / 3, 1 / 4, 2 / 5])


def test_labels_that_are_equally_sure_are_judged_together():
    tally = Tally()
    tally.update(torch.tensor([0, 0, 0]), torch.full((3,), 9, dtype=torch.uint16), torch.tensor([1, 0, 0]))
    assert tally.errors((0.2, 1.0)) == pytest.approx([1 / 3, 1 / 3])


def test_without_a_truth_there_are_no_errors():
    tally = Tally()
    tally.update(torch.zeros(2), torch.zeros(2, dtype=torch.uint16), torch.full((2,), IGNORE))
    assert tally.errors((0.5, 1.0)) == [None, None]
