"""Scores as they are read back: mIoU, or accuracy where an image has one class."""

import json

import pytest

from dmt_ray.methods import METHODS
from dmt_ray.plan.measures import MEASURES, measure_of
from dmt_ray.recipes import named
from dmt_ray.results import scores
from dmt_ray.store import Store

DIGITS = named("shapes").evolve(data={"name": "digits"}, label="global")


def put(store: Store, evaluation, right: int, *, classes: int = 4, measure: str = "accuracy") -> None:
    """Scores of a model that is right on so many of ten images of each class, and else says class 0."""
    confusion = [[0] * classes for _ in range(classes)]
    for k, row in enumerate(confusion):
        row[k] += right
        row[0] += 10 - right
    accuracy = sum(row[k] for k, row in enumerate(confusion)) / (10 * classes)
    said = {"miou": 0.1, "pixel_accuracy": accuracy, "iou": [0.1] * classes, "confusion": confusion}
    if measure == "accuracy":
        said |= {"measure": "accuracy", "accuracy": accuracy, "fine_grained": accuracy / 2}
        said |= {"last_weights": {"accuracy": 0.25, "fine_grained": 0.125}}
    with store.write(evaluation) as folder:
        (folder / "metrics.json").write_text(json.dumps({"selection": said, "reported": said}))


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "runs")


def test_the_score_of_a_classifier_is_its_accuracy(store):
    [evaluation] = METHODS["baseline"](DIGITS, 0).rungs[0].values()
    put(store, evaluation, right=10)
    assert scores.score(store, evaluation) == 1.0
    assert scores.measure(store, evaluation) == measure_of(DIGITS.data) == "accuracy"
    assert MEASURES["accuracy"] == "accuracy"


def test_the_score_of_a_segmentation_is_its_miou(store):
    [evaluation] = METHODS["baseline"](named("shapes"), 0).rungs[0].values()
    put(store, evaluation, right=10, measure="miou")
    assert scores.score(store, evaluation, "reported") == 0.1
    assert MEASURES[scores.measure(store, evaluation)] == "mIoU"


def test_what_is_said_of_a_classifier_beside_its_accuracy(store):
    [evaluation] = METHODS["baseline"](DIGITS, 0).rungs[0].values()
    put(store, evaluation, right=5)
    said = scores.metrics(store, evaluation)["reported"]
    # class 0: all ten; the three others: five each
    assert scores.scores(said) == {
        "accuracy": 25 / 40,
        "fine_grained": 25 / 80,
        "last_weights_accuracy": 0.25,
        "last_weights_fine_grained": 0.125,
    }
    assert scores.class_scores(said) == ("class_accuracy", [1.0, 0.5, 0.5, 0.5])


def test_a_class_without_images_has_no_accuracy():
    said = {"measure": "accuracy", "confusion": [[3, 1], [0, 0]]}
    assert scores.class_scores(said) == ("class_accuracy", [0.75, None])


@pytest.mark.parametrize(
    ("was", "now", "collapses"),
    [
        pytest.param(10, 2, True, id="100 % to 40 %"),
        pytest.param(10, 4, False, id="100 % to 55 %: more than half"),
        pytest.param(3, 0, False, id="47.5 %: less than twice the share of the commonest class"),
    ],
)
def test_a_classifier_collapses_below_half_of_its_accuracy(store, was, now, collapses):
    plan = METHODS["dmt"](DIGITS, 0)
    put(store, plan.rungs[0]["A"], right=was)
    put(store, plan.rungs[1]["A"], right=now)
    found = scores.collapsed(store, plan, 1)
    assert bool(found) == collapses
    if found:
        assert "its validation accuracy is 40.00% at rung 1, but was 100.00%" in found["A"]
