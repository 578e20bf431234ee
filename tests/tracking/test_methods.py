"""Curves of models that are trained together, anew, or chosen, as they are replayed from real histories."""

from collections import Counter

import pytest

from dmt_ray.execution.runner import Runner
from dmt_ray.methods import METHODS
from dmt_ray.plan import Plan
from dmt_ray.report.figures.curves import training_curves
from dmt_ray.report.titles import HISTORIES
from dmt_ray.results.curves import finetunings, histories, points, units
from dmt_ray.results.scores import history, picked

METHODS_OF_THIS_FILE = {
    "rml": {},
    "rwms": {},
    "curriculum": {},
    "dmt": {"order": "sequential", "first": "val_each"},
}


@pytest.fixture(scope="module")
def performed(module_machine, tiny):
    """The runner, and the plans by the names of their methods, performed."""
    runner = Runner(module_machine)
    config = runner.bind(tiny)
    plans = {name: METHODS[name](config.evolve(**changes), 0) for name, changes in METHODS_OF_THIS_FILE.items()}
    runner.perform([stage for plan in plans.values() for rung in plan.rungs for stage in rung.values()])
    return runner, plans


def published(performed, name: str) -> list:
    runner, plans = performed
    plan = {0: plans[name]}
    return [point for unit in units(plan) for point in points(runner.store, plan, unit)]


def steps_of(plan: Plan, runner: Runner, side: str) -> int:
    """Optimizer steps of one model over its whole story."""
    trained = dict.fromkeys(rung[side].inputs["model"] for rung in plan.rungs)
    return sum(int(history(runner.store, stage)["step"].iloc[-1]) for stage in trained)


@pytest.mark.parametrize("name", METHODS_OF_THIS_FILE)
def test_nothing_is_published_twice(performed, name):
    found = Counter((point.name, point.step) for point in published(performed, name))
    assert [where for where, times in found.items() if times > 1] == []


def test_students_that_are_trained_together_have_metrics_of_their_own(performed):
    names = {point.name for point in published(performed, "rml")}
    for side in "AB":
        for column in ("loss", "labelled_loss", "unlabelled_loss"):
            assert f"loss/{column}.{side}" in names
        for column in ("coverage", "pseudo_accuracy", "total_variation"):
            assert f"other/{column}.{side}" in names
    assert not [name for name in names if "A." in name or "B." in name]


@pytest.mark.parametrize(("name", "side"), [("rml", "A"), ("rml", "B"), ("curriculum", "A"), ("rwms", "A")])
def test_the_steps_of_a_model_count_on_from_stage_to_stage(performed, name, side):
    runner, plans = performed
    steps = [point.step for point in published(performed, name) if point.name == f"loss/loss.{side}"]
    assert steps == sorted(set(steps))
    assert steps[-1] == steps_of(plans[name], runner, side)


def test_generations_are_one_story(performed):
    runner, plans = performed
    [table] = histories(runner.store, {0: plans["curriculum"]}).values()
    assert list(dict.fromkeys(table["rung"])) == [0, 1, 2]
    assert table["step"].is_monotonic_increasing


def test_the_second_phase_of_rwms_comes_after_the_first(performed):
    runner, plans = performed
    first, second = finetunings(runner.store, plans["rwms"])
    assert (first.config.generation, second.config.generation) == (1, 2)


def test_what_a_chosen_model_has_behind_it_is_that_of_the_chosen_one(performed):
    runner, plans = performed
    plan = plans["dmt"]
    student = plan.rungs[1]["A"].inputs["model"]
    pick = student.inputs["start"]
    assert pick.operation.name == "pick"
    assert picked(runner.store, pick) in {rung.inputs["model"] for rung in plan.rungs[0].values()}
    table = histories(runner.store, {0: plan})["A"]
    assert list(dict.fromkeys(table["rung"])) == [0, 1, 2]
    assert table["step"].is_monotonic_increasing


def test_the_labels_of_a_phase_are_said_as_those_of_an_iteration(performed):
    kept = {point.step: point.value for point in published(performed, "rwms") if point.name == "labels/kept.A"}
    assert kept == {1: 1.0, 2: 1.0}


def test_total_variation_has_a_chart_where_two_teachers_are(performed):
    runner, plans = performed
    titles = {
        name: [axes.get_title(loc="left") for axes in training_curves(histories(runner.store, {0: plan})).axes]
        for name, plan in plans.items()
    }
    assert HISTORIES["total_variation"][0] in titles["rml"]
    assert HISTORIES["total_variation"][0] not in titles["curriculum"]
