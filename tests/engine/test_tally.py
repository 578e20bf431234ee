"""Every score against an independent implementation: scikit-learn's, or loops over pixels written here."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, jaccard_score, log_loss

from dmt_ray import IGNORE
from dmt_ray.engine.tally import BINS, MOST, Tally, boundary, boundary_width
from dmt_ray.engine.team import ALONE
from dmt_ray.results.quality import quality
from dmt_ray.results.scores import scores

K = 5  # classes, of which the last never occurs, neither in the truth nor in a decision
N, H, W = 6, 23, 31


@pytest.fixture(scope="module")
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of a model that is right more often than not, and truth in patches, a tenth of it not known."""
    random = torch.Generator().manual_seed(0)
    truth = torch.randint(0, K - 1, (N, H // 8 + 1, W // 8 + 1), generator=random)
    truth = truth.repeat_interleave(8, 1).repeat_interleave(8, 2)[:, :H, :W].contiguous()
    logits = 2 * torch.randn((N, K, H, W), generator=random)
    logits.scatter_add_(1, truth.unsqueeze(1), torch.full((N, 1, H, W), 2.5))
    logits[:, K - 1] = -20.0
    truth = torch.where(torch.rand((N, H, W), generator=random) < 0.1, IGNORE, truth)
    return logits, truth.to(torch.uint8)


@pytest.fixture(scope="module")
def recorded(batch) -> dict:
    """What an evaluation would record, in three batches."""
    tally = Tally(K, "segmentation")
    for part in range(0, N, 2):
        tally.update(batch[0][part : part + 2], batch[1][part : part + 2])
    return tally.scores(ALONE)


@pytest.fixture(scope="module")
def judged(batch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, decisions and probabilities ``[pixels, K]`` of the pixels that are known, in double precision."""
    logits, truth = batch
    probabilities = logits.double().softmax(dim=1).movedim(1, -1).reshape(-1, K).numpy()
    known = (truth != IGNORE).flatten().numpy()
    return truth.flatten().numpy()[known], probabilities.argmax(axis=1)[known], probabilities[known]


def test_scores_of_regions_are_scikit_learns(recorded, judged):
    truth, decided, _ = judged
    each = jaccard_score(truth, decided, labels=range(K - 1), average=None)
    assert recorded["iou"][: K - 1] == pytest.approx(each.tolist())
    assert recorded["iou"][K - 1] is None
    found = scores(recorded) | quality(recorded)
    assert found["miou"] == pytest.approx(jaccard_score(truth, decided, average="macro"))
    assert found["dice"] == pytest.approx(f1_score(truth, decided, average="macro"))
    assert found["frequency_weighted_iou"] == pytest.approx(jaccard_score(truth, decided, average="weighted"))
    assert found["pixel_accuracy"] == pytest.approx(accuracy_score(truth, decided))


def test_means_over_given_classes_are_those_of_these_classes_alone(recorded, judged):
    truth, decided, _ = judged
    found = quality(recorded, classes=[0, 2])
    assert found["dice"] == pytest.approx(f1_score(truth, decided, labels=[0, 2], average="macro"))
    assert found["boundary_iou"] == pytest.approx(np.mean([recorded["boundary"]["iou"][k] for k in (0, 2)]))


def test_negative_log_likelihood_is_scikit_learns(recorded, judged):
    truth, _, probabilities = judged
    assert recorded["nll"] == pytest.approx(log_loss(truth, probabilities, labels=range(K)), rel=1e-5)


def test_brier_score_is_the_squared_distance_to_the_right_answer(recorded, judged):
    truth, _, probabilities = judged
    assert recorded["brier"] == pytest.approx(((probabilities - np.eye(K)[truth]) ** 2).sum(axis=1).mean(), rel=1e-5)


def test_calibration_error_is_the_one_of_fifteen_bins(recorded, judged):
    truth, decided, probabilities = judged
    confidence, error = probabilities.max(axis=1), 0.0
    for number in range(BINS):
        inside = (confidence > number / BINS) & (confidence <= (number + 1) / BINS)
        assert recorded["reliability"]["count"][number] == inside.sum()
        if inside.any():
            gap = (truth == decided)[inside].mean() - confidence[inside].mean()
            error += inside.mean() * abs(gap)
    assert error > 0.05  # a model that has something to find
    assert quality(recorded)["ece"] == pytest.approx(error, rel=1e-5)


def eroded(mask: np.ndarray, times: int) -> np.ndarray:
    """A mask after so many erosions with a square of 3 x 3; beyond the rim there is nothing."""
    for _ in range(times):
        padded = np.pad(mask, 1)
        rows, columns = mask.shape
        shifts = [padded[y : y + rows, x : x + columns] for y in range(3) for x in range(3)]
        mask = np.logical_and.reduce(shifts)
    return mask


def test_boundary_iou_is_the_one_of_eroded_masks(recorded, batch):
    """As Cheng et al. 2021 define it, class by class and image by image, pooled over the images."""
    logits, truth = batch
    decided = logits.argmax(dim=1).numpy()
    width = round(0.02 * (H**2 + W**2) ** 0.5)
    both, either = np.zeros(K), np.zeros(K)
    for one, right in zip(decided, truth.numpy(), strict=True):
        one = np.where(right == IGNORE, IGNORE, one)
        for k in range(K):
            ours, theirs = (mask & ~eroded(mask, width) for mask in (one == k, right == k))
            both[k] += (ours & theirs).sum()
            either[k] += (ours | theirs).sum()
    assert boundary_width(H, W) == width == 1
    assert recorded["boundary"]["iou"][: K - 1] == pytest.approx((both / np.maximum(either, 1))[: K - 1].tolist())
    assert recorded["boundary"]["iou"][K - 1] is None


def test_a_wide_boundary_is_what_that_many_erosions_take_away():
    labels = torch.zeros(1, 20, 24, dtype=torch.uint8)
    labels[0, 4:, 10:] = 3
    expected = sum((labels[0] == k).numpy() & ~eroded((labels[0] == k).numpy(), 3) for k in (0, 3))
    assert (boundary(labels, 3)[0].numpy() == expected.astype(bool)).all()


def test_neither_batches_nor_their_order_move_a_bit(batch, recorded):
    tally = Tally(K, "segmentation")
    for i in reversed(range(N)):
        tally.update(batch[0][i : i + 1], batch[1][i : i + 1])
    assert tally.scores(ALONE) == recorded


def test_a_tally_that_is_not_full_has_the_same_decisions(batch, recorded):
    tally = Tally(K, "segmentation", full=False)
    tally.update(*batch)
    assert tally.scores(ALONE) == {name: recorded[name] for name in ("miou", "pixel_accuracy", "iou", "confusion")}


def test_a_classifier_has_probabilities_and_no_boundaries():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, 3.0]]).reshape(3, 2, 1, 1)
    tally = Tally(2, "classification")
    tally.update(logits, torch.tensor([0, 0, 1], dtype=torch.uint8).reshape(3, 1, 1))
    found = tally.scores(ALONE)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["nll"] == pytest.approx(np.mean([np.log1p(np.exp(-2)), np.log1p(np.exp(1)), np.log1p(np.exp(-3))]))
    assert "boundary" not in found
    assert "dice" not in quality(found)


def test_a_truth_that_is_no_class_is_named_when_the_scores_are_read():
    tally = Tally(2, "segmentation")
    tally.update(torch.zeros(1, 2, 4, 4), torch.full((1, 4, 4), 7, dtype=torch.uint8))
    with pytest.raises(ValueError, match="truth must be between 0 and 1 or 255, but at 16 pixels it was not"):
        tally.scores(ALONE)


def test_a_hopeless_pixel_cannot_spoil_the_sum():
    tally = Tally(2, "classification")
    tally.update(torch.tensor([0.0, 1e30]).reshape(1, 2, 1, 1), torch.zeros((1, 1, 1), dtype=torch.uint8))
    assert tally.scores(ALONE)["nll"] == MOST


def test_what_an_old_record_lacks_is_left_out():
    old = {"miou": 0.4, "pixel_accuracy": 0.75, "iou": [0.6, 0.2], "confusion": [[3, 0], [1, 0]]}
    assert quality(old) == pytest.approx({"dice": (6 / 7 + 0) / 2, "frequency_weighted_iou": 0.75 * 3 / 4})
