"""Expressions of sequential DMT whose first teacher is found on held-out images (Pet study, Sec. 4.2)."""

import pytest

from dmt_ray.methods.mutual import dmt
from dmt_ray.plan import Plan, Stage
from dmt_ray.recipes import named

CFG = named("shapes").evolve(order="sequential", dms_alpha=0.7)


def model(plan: Plan, rung: int, side: str) -> Stage:
    return plan.rungs[rung][side].inputs["model"]


def teacher(student: Stage) -> Stage:
    return student.inputs["labels"].inputs["teacher"]


@pytest.mark.parametrize("first", ["val", "val_each"])
def test_the_better_pretrained_model_teaches_first(first):
    plan = dmt(CFG.evolve(first=first), 0)
    picked = teacher(model(plan, 1, "B"))
    assert (picked.operation.name, picked.config.better) == ("pick", True)
    assert [picked.inputs[name] for name in ("first", "second")] == [model(plan, 0, side) for side in "AB"]
    assert [picked.inputs[f"{name}_scores"] for name in ("first", "second")] == [plan.rungs[0][side] for side in "AB"]


def test_the_other_one_learns_first():
    plan = dmt(CFG.evolve(first="val"), 0)
    started = model(plan, 1, "B").inputs["start"]
    assert (started.operation.name, started.config.better) == ("pick", False)


def test_the_first_teacher_then_learns_from_the_model_it_has_taught():
    plan = dmt(CFG.evolve(first="val"), 0)
    assert teacher(model(plan, 1, "A")) == model(plan, 1, "B")
    assert model(plan, 1, "A").inputs["start"] == teacher(model(plan, 1, "B"))


def test_decided_once_the_same_one_goes_on_teaching_first():
    plan = dmt(CFG.evolve(first="val"), 0)
    assert teacher(model(plan, 2, "B")) == model(plan, 1, "A")


def test_decided_each_time_the_models_of_every_iteration_are_compared():
    plan = dmt(CFG.evolve(first="val_each"), 0)
    picked = teacher(model(plan, 3, "B"))
    assert picked.operation.name == "pick"
    assert [picked.inputs[name] for name in ("first", "second")] == [model(plan, 2, side) for side in "AB"]
