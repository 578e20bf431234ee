"""Expressions of Curriculum Labeling and of DMT for classification (DMT, Algorithm 1). No torch, milliseconds."""

from dmt_ray.methods.curriculum import curriculum
from dmt_ray.methods.mutual import dmt
from dmt_ray.plan import Plan, Stage
from dmt_ray.recipes import named

CFG = named("shapes").evolve(data={"name": "digits"}, label="global", retrain=None)


def model(plan: Plan, rung: int) -> Stage:
    return plan.rungs[rung]["A"].inputs["model"]


def test_every_model_is_new_and_taught_by_the_one_before():
    plan = dmt(CFG, 0)
    assert [model(plan, rung).operation.name for rung in range(6)] == ["pretrain"] + ["retrain"] * 5
    for rung in range(1, 6):
        assert model(plan, rung).inputs["labels"].inputs["teacher"] == model(plan, rung - 1)
        assert "start" not in model(plan, rung).inputs


def test_every_generation_has_its_own_first_weights():
    plan = dmt(CFG, 0)
    assert [model(plan, rung).config.generation for rung in range(1, 6)] == [1, 2, 3, 4, 5]


def test_more_images_are_taken_in_from_generation_to_generation():
    plan = dmt(CFG, 0)
    assert [model(plan, rung).config.images for rung in range(1, 6)] == [0.2, 0.4, 0.6, 0.8, 1.0]


def test_there_is_no_second_model():
    assert all(set(rung) == {"A"} for rung in dmt(CFG, 0).rungs)


def test_curriculum_labeling_is_the_same_chain_with_the_weights_off():
    one, other = model(dmt(CFG, 0), 1), model(curriculum(CFG, 0), 1)
    assert (one.config.weight.rule, other.config.weight.rule) == ("disagreement", "uniform")
    assert one.config.evolve(weight=other.config.weight) == other.config
    assert one.inputs == other.inputs
    assert model(dmt(CFG, 0), 2).inputs != model(curriculum(CFG, 0), 2).inputs


def test_retraining_has_its_own_settings_where_a_recipe_gives_them():
    retrain = CFG.online.evolve(epochs=7)
    assert model(dmt(CFG, 0), 1).config.training == CFG.online
    assert model(dmt(CFG.evolve(retrain=retrain), 0), 1).config.training == retrain


def test_where_an_average_of_the_weights_is_kept_it_is_scored():
    averaged = CFG.evolve(retrain=CFG.online.evolve(ema=0.99))
    assert [dmt(averaged, 0).rungs[rung]["A"].config.averaged for rung in (0, 1)] == [False, True]
