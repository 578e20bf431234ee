"""Expressions of RWMS and of classical self-training (RWMS, Algorithm 1). No torch, milliseconds."""

import pytest

from dmt_ray.methods.rwms import classical_st, rwms
from dmt_ray.plan import Plan, Stage
from dmt_ray.recipes import named

CFG = named("shapes")


def student(plan: Plan, rung: int) -> Stage:
    return plan.rungs[rung]["A"].inputs["model"]


def test_the_first_student_learns_the_teachers_labels_of_the_reliable_half():
    labels = student(rwms(CFG, 0), 1).inputs["labels"]
    assert (labels.config.by, labels.config.first, labels.config.whole) == ("reliability", 0.5, False)
    assert labels.inputs["labels"].inputs["teacher"] == student(rwms(CFG, 0), 0)
    assert "rest" not in labels.inputs


def test_the_first_student_labels_the_other_half_anew():
    plan = rwms(CFG, 0)
    labels = student(plan, 2).inputs["labels"]
    assert labels.config.whole
    assert labels.inputs["rest"].inputs["teacher"] == student(plan, 1)
    assert labels.inputs["labels"] == student(plan, 1).inputs["labels"].inputs["labels"]


def test_the_second_teacher_judges_and_is_trained_no_further():
    plan = rwms(CFG, 0)
    assessed = student(plan, 1).inputs["labels"].inputs["assessed"]
    assert (assessed.inputs["judge"].operation.name, assessed.inputs["judge"].config.side) == ("pretrain", "B")
    assert student(plan, 2).inputs["labels"].inputs["assessed"] == assessed  # the same weights in both phases, line 5


def test_students_are_new_and_differ_in_their_generation():
    plan = rwms(CFG, 0)
    assert [student(plan, rung).operation.name for rung in range(3)] == ["pretrain", "retrain", "retrain"]
    assert [student(plan, rung).config.generation for rung in (1, 2)] == [1, 2]
    assert [student(plan, rung).config.images for rung in (1, 2)] == [0.5, 1.0]


def test_students_see_strong_augmentation_and_ranks_weigh_their_pixels():
    config = student(rwms(CFG, 0), 1).config
    assert config.training.augment.strong == "jitter"
    assert config.weight.identity() == {"rule": "rank", "a": 1.0, "b": 0.5}


@pytest.mark.parametrize(
    ("phases", "rungs", "by", "first"),
    [("selective", 3, "reliability", 0.5), ("random", 3, "chance", 0.5), ("one", 2, "reliability", 1.0)],
)
def test_the_rows_of_table_3(phases, rungs, by, first):
    plan = rwms(CFG.evolve(phases=phases), 0)
    config = student(plan, 1).inputs["labels"].config
    assert (len(plan.rungs), config.by, config.first) == (rungs, by, first)


def test_the_second_teacher_may_be_another_network():
    cfg = CFG.evolve(model_b=CFG.model.evolve(architecture="FPN"))
    assessed = student(rwms(cfg, 0), 1).inputs["labels"].inputs["assessed"]
    assert assessed.inputs["judge"].config.model.architecture == "FPN"


def test_classical_self_training_labels_everything_once():
    plan = classical_st(CFG, 0)
    taught = student(plan, 1)
    assert (taught.operation.name, taught.config.weight.rule) == ("retrain", "uniform")
    assert taught.inputs["labels"].config.share == 1
    assert taught.inputs["labels"].inputs["teacher"] == student(plan, 0)
