import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from dmt_ray import models
from dmt_ray.config import Model, Split
from dmt_ray.engine.label import label
from dmt_ray.engine.workspace import Workspace
from dmt_ray.plan.operations.label import Label
from dmt_ray.recipes import named
from tests.helpers.noise import noise

K = 4
SIZES = [(40, 33), (32, 64), (40, 33), (20, 20), (32, 64), (32, 32), (33, 40)]  # not all multiples of the stride
LABELLED = 2


@pytest.fixture
def work() -> Workspace:
    return noise(SIZES, K)


@pytest.fixture
def teacher(tmp_path):
    folder = tmp_path / "teacher"
    folder.mkdir()
    torch.manual_seed(0)
    model = Model(encoder="tu-test_resnet", arguments={"encoder_depth": 4, "decoder_channels": [16, 8, 8, 8]})
    models.save(models.build(model, K), folder, {"model": model.model_dump(mode="json"), "classes": K, "side": "A"})
    return folder


def labelled_by(work, teacher, tmp_path, share, rule="class_balanced"):
    config = Label(data=named("shapes").data, split=Split(labelled=LABELLED), rule=rule, share=share)
    out, scratch = tmp_path / f"out{share}{rule}", tmp_path / "scratch"
    out.mkdir()
    scratch.mkdir(exist_ok=True)
    made = label(config, replace(work, inputs={"teacher": teacher}, out=out, scratch=scratch))
    assert made == len(SIZES) - LABELLED
    assert not list(scratch.iterdir())
    labels, confidence = np.load(out / "labels.npy"), np.load(out / "confidence.npy")
    return labels, confidence, json.loads((out / "summary.json").read_text())


def one_by_one(work, teacher):
    """Classes and confidences with one image a forward pass and nothing clever."""
    from dmt_ray.data import divide

    network, _ = models.load(teacher)
    network.eval()
    train = work.dataset.subsets["train"]
    classes, sure = [], []
    for i in divide(Split(labelled=LABELLED), named("shapes").data, work.dataset).unlabelled:
        pixels = torch.from_numpy(train.image(i).copy()).permute(2, 0, 1)[None].float() / 255
        h, w = pixels.shape[-2:]
        padded = torch.zeros(1, 3, math.ceil(h / 32) * 32, math.ceil(w / 32) * 32)
        padded[..., :h, :w] = pixels
        padded -= torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
        padded /= torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
        with torch.inference_mode():
            probs = network(padded)[..., :h, :w].double().softmax(dim=1)
        top = probs.max(dim=1)
        classes.append(top.indices.flatten().numpy())
        sure.append(top.values.flatten().numpy())
    return np.concatenate(classes), np.concatenate(sure)


def test_at_percentile_one_every_pixel_has_its_argmax(work, teacher, tmp_path):
    labels, confidence, summary = labelled_by(work, teacher, tmp_path, 1.0)
    classes, sure = one_by_one(work, teacher)
    assert (labels == classes).mean() > 0.9999  # the odd pixel on the border between two classes
    assert np.abs(confidence / 255 - sure).max() < 1 / 255
    assert summary["kept"] == 1


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_the_kept_pixels_are_the_surest_of_each_class_by_a_full_sort(work, teacher, tmp_path, share):
    labels, _, summary = labelled_by(work, teacher, tmp_path, share)
    classes, sure = one_by_one(work, teacher)
    for k in range(K):
        of_class = np.sort(sure[classes == k])
        if not len(of_class):
            assert summary["coverage"][k] is None
            continue
        threshold = of_class[-(int(len(of_class) * share) + 1)]  # the DMT authors' rule
        kept = (labels == k).sum()
        assert kept >= int(len(of_class) * share)
        near = np.abs((1 - sure) / (1 - threshold) - 1) < 1 / 400  # what the 16-bit code cannot tell apart
        expected = (classes == k) & (sure >= threshold)
        assert ((labels == k) != expected)[~near].sum() <= 1
        assert summary["thresholds"][k] == pytest.approx(threshold, abs=(1 - threshold) / 200)


def test_accuracy_is_that_of_the_kept_pixels(work, teacher, tmp_path):
    labels, _, summary = labelled_by(work, teacher, tmp_path, 0.5)
    train = work.dataset.subsets["train"]
    from dmt_ray.data import divide

    parts = divide(Split(labelled=LABELLED), named("shapes").data, work.dataset)
    truth = np.concatenate([train.mask(i).ravel() for i in parts.unlabelled])
    kept = labels != 255
    assert summary["accuracy"] == pytest.approx((labels == truth)[kept].mean())
    assert summary["kept"] == pytest.approx(kept.mean())


@pytest.mark.parametrize("rule", ["class_balanced", "renormalised"])
def test_errors_are_told_for_the_surest_shares_of_all_pixels_before_any_selection(work, teacher, tmp_path, rule):
    _, _, summary = labelled_by(work, teacher, tmp_path, 0.5, rule)
    classes, sure = one_by_one(work, teacher)
    from dmt_ray.data import divide

    parts = divide(Split(labelled=LABELLED), named("shapes").data, work.dataset)
    truth = np.concatenate([work.dataset.subsets["train"].mask(i).ravel() for i in parts.unlabelled])
    wrong = (classes != truth)[np.argsort(-sure)]
    for share, error in summary["error_by_share"].items():
        assert error == pytest.approx(wrong[: int(len(wrong) * float(share))].mean(), abs=0.01)  # ties of codes
    assert list(summary["error_by_share"]) == ["0.2", "0.4", "0.6", "0.8", "1.0"]


def test_where_no_truth_is_known_no_error_is_told(work, teacher, tmp_path):
    work.dataset.subsets["train"].masks[:] = 255
    _, _, summary = labelled_by(work, teacher, tmp_path, 0.5)
    assert summary["accuracy"] is None
    assert set(summary["error_by_share"].values()) == {None}


def test_the_global_rule_has_one_threshold(work, teacher, tmp_path):
    _, _, summary = labelled_by(work, teacher, tmp_path, 0.3, "global")
    assert len(set(summary["thresholds"])) == 1
    assert 0.3 <= summary["kept"] < 0.32  # ties at the threshold are kept


def test_a_class_that_is_never_predicted_is_no_crash(work, teacher, tmp_path):
    network, description = models.load(teacher)
    with torch.no_grad():
        network.segmentation_head[0].bias[:] = torch.tensor([50.0, 0, 0, 0])
    models.save(network, teacher, description)
    labels, _, summary = labelled_by(work, teacher, tmp_path, 1.0)
    assert set(np.unique(labels)) == {0}
    assert summary["predicted"] == [1, 0, 0, 0]
    assert summary["coverage"] == [1, None, None, None]
