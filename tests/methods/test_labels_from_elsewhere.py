"""Expressions in which masks from elsewhere take the place of the first teacher."""

import pytest

from dmt_ray.config import External
from dmt_ray.errors import ConfigError
from dmt_ray.methods import METHODS
from dmt_ray.plan import Plan, Stage
from dmt_ray.recipes import named

CFG = named("shapes").evolve(percentiles=(0.5, 1.0))
ELSEWHERE = CFG.evolve(external=External(masks="drafts", fingerprint="abc"))


def labels(plan: Plan, rung: int, side: str) -> Stage:
    return plan.rungs[rung][side].inputs["model"].inputs["labels"]


def test_a_learns_first_from_elsewhere_and_then_from_b():
    plan = METHODS["dmt"](ELSEWHERE, 0)
    first = labels(plan, 1, "A")
    assert (first.operation.name, first.side, dict(first.inputs)) == ("adopt", "B", {})
    assert labels(plan, 1, "B") == labels(METHODS["dmt"](CFG, 0), 1, "B")  # A's
    assert [labels(plan, 2, side).operation.name for side in "AB"] == ["label"] * 2
    assert labels(plan, 2, "A").inputs["teacher"] == plan.rungs[1]["B"].inputs["model"]


@pytest.mark.parametrize(("first", "student"), [("A", "B"), ("B", "A"), ("val", "B")])
def test_in_the_sequential_order_the_model_that_would_learn_first_learns_from_elsewhere(first, student):
    plan = METHODS["dmt"](ELSEWHERE.evolve(order="sequential", first=first), 0)
    assert labels(plan, 1, student).operation.name == "adopt"
    other = "A" if student == "B" else "B"
    assert labels(plan, 1, other).inputs["teacher"] == plan.rungs[1][student].inputs["model"]


@pytest.mark.parametrize("method", ["dst", "cbst", "dst_double"])
def test_one_model_learns_first_from_elsewhere_and_then_from_itself(method):
    plan = METHODS[method](ELSEWHERE, 0)
    assert labels(plan, 1, "A").operation.name == "adopt"
    assert labels(plan, 2, "A").inputs["teacher"] == plan.rungs[1]["A"].inputs["model"]


def test_content_and_precision_make_the_key_and_the_folder_does_not():
    def key(**changes):
        return labels(METHODS["dst"](CFG.evolve(external=ELSEWHERE.external.evolve(**changes)), 0), 1, "A").key

    assert key() == key(masks="elsewhere", confidence="there")
    assert len({key(), key(precision=0.8), key(fingerprint="abd")}) == 3


def test_without_masks_from_elsewhere_no_key_moves():
    for method in ("dmt", "dst"):
        plain = METHODS[method](CFG, 0)
        assert METHODS[method](CFG.evolve(external=External(precision=0.5)), 0).stages() == plain.stages()
        assert not any("external" in stage.config.identity() for stage in plain.stages())


def test_classification_has_no_masks_from_elsewhere():
    digits = named("digits").evolve(external=ELSEWHERE.external)
    with pytest.raises(ConfigError, match=r"external\.masks is for segmentation, but digits is not"):
        METHODS["dst"](digits, 0)
