"""Each method's expression: who teaches whom, from where, on which images. No torch, milliseconds."""

import pytest

from dmt_ray.config import Config
from dmt_ray.errors import ConfigError
from dmt_ray.methods import (
    METHODS,
    baseline,
    cbst,
    dmt,
    dmt_flip,
    dmt_naive,
    dst,
    dst_double,
    online_st,
    oracle,
    pseudo_label,
)
from dmt_ray.plan import Plan, Stage
from dmt_ray.recipes import named

CFG = named("shapes").evolve(dms_alpha=0.8)


def model(plan: Plan, rung: int, side: str = "A") -> Stage:
    return plan.rungs[rung][side].inputs["model"]


def teacher(student: Stage) -> Stage:
    return student.inputs["labels"].inputs["teacher"]


@pytest.mark.parametrize("method", [dmt, dmt_naive, dmt_flip])
def test_each_model_learns_from_the_other_ones_labels(method):
    plan = method(CFG, 0)
    for rung in range(1, len(plan.rungs)):
        assert teacher(model(plan, rung, "A")) == model(plan, rung - 1, "B")
        assert teacher(model(plan, rung, "B")) == model(plan, rung - 1, "A")


@pytest.mark.parametrize("side", ["A", "B"])
def test_each_model_goes_on_from_itself(side):
    plan = dmt(CFG, 0)
    for rung in range(1, len(plan.rungs)):
        assert model(plan, rung, side).inputs["start"] == model(plan, rung - 1, side)


@pytest.mark.parametrize(("first", "second"), [("A", "B"), ("B", "A")])
def test_in_the_sequential_order_the_first_teacher_learns_from_the_model_it_has_taught(first, second):
    plan = dmt(CFG.evolve(order="sequential", first=first), 0)
    assert teacher(model(plan, 1, second)) == model(plan, 0, first)
    assert teacher(model(plan, 1, first)) == model(plan, 1, second)


def test_the_surest_labels_come_first():
    plan = dmt(CFG, 0)
    shares = [model(plan, rung).inputs["labels"].config.share for rung in range(1, 6)]
    assert shares == [0.2, 0.4, 0.6, 0.8, 1.0]


def test_rung_zero_is_the_pretrained_model():
    assert model(dmt(CFG, 0), 0).operation.name == "pretrain"
    assert len(dmt(CFG, 0).rungs) == 6


def test_the_halves_of_dms_go_to_a_and_b():
    a, b = (model(dmt(CFG, 0), 0, side).config for side in ("A", "B"))
    assert (a.images, a.side, a.dms_alpha) == ("dms", "A", CFG.dms_alpha)
    assert (b.images, b.side, b.dms_alpha) == ("dms", "B", CFG.dms_alpha)


def test_without_dms_model_a_of_dmt_is_the_baseline():
    assert model(dmt(CFG.evolve(dms_alpha=1), 0), 0, "A") == model(baseline(CFG, 0), 0)


def test_dst_teaches_itself():
    plan = dst(CFG, 0)
    for rung in range(1, len(plan.rungs)):
        assert teacher(model(plan, rung)) == model(plan, rung - 1) == model(plan, rung).inputs["start"]
    assert all(set(rung) == {"A"} for rung in plan.rungs)


def test_dst_with_the_steps_of_two_models_differs_in_the_epochs_alone():
    once, double = dst(CFG, 0), dst_double(CFG, 0)
    assert len(once.rungs) == len(double.rungs)
    for rung in range(len(once.rungs)):
        one, two = model(once, rung), model(double, rung)
        assert two.config.training.epochs == 2 * one.config.training.epochs
        assert two.config.evolve(training=one.config.training) == one.config
    assert all(teacher(model(double, rung)) == model(double, rung - 1) for rung in range(1, len(double.rungs)))


@pytest.mark.parametrize(
    ("method", "rule"),
    [(dst, "disagreement"), (cbst, "uniform"), (dmt, "disagreement"), (dmt_naive, "confidence"), (dmt_flip, "flip")],
)
def test_the_ablations_differ_in_the_weight_rule(method, rule):
    assert model(method(CFG, 0), 1).config.weight.rule == rule


def test_one_model_methods_share_the_pretraining_on_all_labelled_images():
    assert len({model(method(CFG, 0), 0) for method in (baseline, dst, cbst, online_st, pseudo_label)}) == 1


def test_online_st_makes_its_labels_itself():
    taught = model(online_st(CFG, 0), 1)
    assert set(taught.inputs) == {"start"}
    assert (taught.config.weight.rule, taught.config.weight.threshold) == ("online", 0.9)  # DMT, Sec. 5.4
    assert taught.config.training == CFG.online


def test_pseudo_label_makes_its_labels_itself_after_the_pretraining():
    taught = model(pseudo_label(CFG, 0), 1)
    assert taught.inputs == {"start": model(baseline(CFG, 0), 0)}
    lee = dict(rise_start=0.1, rise_end=0.6, alpha_f=3)  # Eq. 16
    assert (taught.config.weight.rule, taught.config.weight.numbers()) == ("rising", lee)
    assert taught.config.training == CFG.online


def test_the_oracle_sees_all_images_truly_labelled():
    config = model(oracle(CFG, 0), 0).config
    assert (config.images, config.training, config.coarse) == ("all", CFG.oracle, 0)


def test_coarse_labels_are_the_oracle_s_alone():
    coarse = CFG.evolve(coarse=8)
    assert [name for name in METHODS if METHODS[name](coarse, 0) != METHODS[name](CFG, 0)] == ["oracle"]
    assert "outside the labelled list in blocks of 8 pixels" in oracle(coarse, 0).explain()
    assert model(oracle(coarse, 0), 0).config.coarse == 8


def test_seeds_use_different_label_splits_only_if_the_recipe_says_so():
    def number(cfg: Config, seed: int) -> int:
        return model(baseline(cfg, seed), 0).config.split.number

    fixed = CFG.evolve(split=CFG.split.evolve(follows_seed=False))
    assert (number(CFG, 0), number(CFG, 2)) == (0, 2)
    assert (number(fixed, 0), number(fixed, 2)) == (0, 0)


def test_models_a_and_b_may_differ_in_architecture():
    cfg = CFG.evolve(model_b=CFG.model.evolve(encoder="resnet18"))
    assert [model(dmt(cfg, 0), 0, side).config.model.encoder for side in ("A", "B")] == ["tu-test_resnet", "resnet18"]


def test_rwms_refuses_data_whose_images_have_one_class():
    with pytest.raises(ConfigError, match="methods that judge images by their pixels are for segmentation; digits is"):
        METHODS["rwms"](CFG.evolve(data={"name": "digits"}), 0)
