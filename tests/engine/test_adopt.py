"""Labels from elsewhere with errors that are known, on the built-in toy data set."""

import json

import numpy as np
import pytest
from PIL import Image

from dmt_ray import IGNORE
from dmt_ray.config import External, Split
from dmt_ray.data import Dataset, Images, divide
from dmt_ray.data.sets.shapes import CLASSES, generate
from dmt_ray.engine.adopt import adopt
from dmt_ray.engine.pseudo_labels import PseudoLabels
from dmt_ray.engine.workspace import Workspace
from dmt_ray.errors import DataError
from dmt_ray.plan.operations.adopt import Adopt
from dmt_ray.recipes import named

COUNT, SIDE, LABELLED = 40, 32, 12
SPLIT = Split(labelled=LABELLED, follows_seed=False)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    pixels, masks, ids = generate("train", size=SIDE, counts={"train": COUNT})
    images = Images(
        tuple(ids),
        np.full((COUNT, 2), SIDE, np.int32),
        np.arange(COUNT + 1) * SIDE * SIDE,
        np.ascontiguousarray(pixels).reshape(-1, 3),
        np.ascontiguousarray(masks).reshape(-1),
        np.ones(COUNT, np.bool_),
    )
    return Dataset(
        "shapes", CLASSES, np.zeros((6, 3), np.uint8), "", dict.fromkeys(("train", "val", "test"), images), None
    )


@pytest.fixture(scope="module")
def drafts(dataset, tmp_path_factory):
    """The truth, but a fifth of the pixels have a random class; of these half have confidence 0.4, all others 0.8."""
    folder, random, truth = tmp_path_factory.mktemp("drafts"), np.random.default_rng(0), dataset.subsets["train"]
    for name in ("class", "confidence"):
        (folder / name).mkdir()
    for i, id in enumerate(truth.ids):
        spoilt = random.random((SIDE, SIDE)) < 0.2
        labels = np.where(spoilt, random.integers(0, 6, (SIDE, SIDE)), truth.mask(i)).astype(np.uint8)
        unsure = spoilt & (random.random((SIDE, SIDE)) < 0.5)
        Image.fromarray(labels).save(folder / "class" / f"{id}.png")
        Image.fromarray(np.where(unsure, 102, 204).astype(np.uint8)).save(folder / "confidence" / f"{id}.png")
    return folder


def performed(dataset, drafts, out, precision, **changes):
    """The labels, the confidences and the truth of the unlabelled images, one pixel after the other; the summary."""
    folders = {"masks": str(drafts / "class"), "confidence": str(drafts / "confidence")}
    external = External(**folders | {"precision": precision} | changes)
    config = Adopt(data=named("shapes").data, split=SPLIT, external=external, teacher="B")
    assert adopt(config, Workspace(dataset, out=out, scratch=out)) == COUNT
    parts, images = divide(SPLIT, config.data, dataset), dataset.subsets["train"]
    stored = PseudoLabels(images, parts.unlabelled, out)
    each = [stored.of(i) for i in range(len(stored))]
    truth = np.stack([images.mask(i) for i in parts.unlabelled])
    summary = json.loads((out / "summary.json").read_text())
    return np.stack([labels for labels, _ in each]), np.stack([sure for _, sure in each]), truth, summary


def test_the_labels_that_count_are_right_about_as_often_as_was_asked(dataset, drafts, tmp_path):
    labels, sure, truth, summary = performed(dataset, drafts, tmp_path, 0.9)
    assert set(np.unique(sure)) == {102, 204}
    # Background is four fifths of the pixels: even with the unsure ones hardly any label of it is wrong.
    assert summary["thresholds"][0] == pytest.approx(0.4)
    assert (labels == 0).sum() == summary["coverage"][0] * (summary["predicted"][0] * truth.size).__round__()
    kept = labels != IGNORE
    assert kept.mean() == pytest.approx(summary["kept"])
    assert (labels == truth)[kept].mean() == pytest.approx(summary["accuracy"])
    assert summary["accuracy"] > 0.9
    assert summary["drafted"] == 1


def test_thresholds_are_chosen_on_the_labelled_images_alone(dataset, drafts, tmp_path):
    *_, summary = performed(dataset, drafts, tmp_path, 0.75)
    images = dataset.subsets["train"]
    chosen = divide(SPLIT, named("shapes").data, dataset).labelled
    read = [
        [np.array(Image.open(drafts / kind / f"{images.ids[i]}.png")) for i in chosen]
        for kind in ("class", "confidence")
    ]
    labels, sure = map(np.stack, read)
    truth = np.stack([images.mask(i) for i in chosen])
    for k in range(6):
        of_all, of_sure = ((labels == truth)[(labels == k) & (sure >= level)].mean() for level in (102, 204))
        expected = 0.4 if of_all >= 0.75 else 0.8 if of_sure >= 0.75 else None
        assert summary["thresholds"][k] == (None if expected is None else pytest.approx(expected))
        reached = of_all if expected == 0.4 else of_sure if expected else max(of_all, of_sure)
        assert summary["precision"][k] == pytest.approx(reached)
        assert summary["judged"][k] == (labels == k).sum()


def test_classes_that_are_left_out_have_no_label_and_without_any_it_is_an_error(dataset, drafts, tmp_path):
    labels, _, _, summary = performed(dataset, drafts, tmp_path, 0.93)
    dropped = [k for k, threshold in enumerate(summary["thresholds"]) if threshold is None]
    assert 0 < len(dropped) < 6
    assert not np.isin(labels, dropped).any()
    assert all(summary["precision"][k] < 0.93 for k in dropped)
    with pytest.raises(DataError, match=r"no class of the masks .* reaches .* of 1\. The best: background 0\.9"):
        performed(dataset, drafts, tmp_path, 1.0)


def test_files_that_changed_since_the_settings_were_made_are_not_used(dataset, drafts, tmp_path):
    with pytest.raises(DataError, match="have changed since the start"):
        performed(dataset, drafts, tmp_path, 0.9, fingerprint="0" * 20)
