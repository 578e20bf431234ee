"""Numbers of a weight rule that a method sets itself."""

import pytest

from dmt_ray.config import override
from dmt_ray.errors import ConfigError
from dmt_ray.experiments.dimensions import default_point
from dmt_ray.experiments.sweep import Sweep
from dmt_ray.methods import METHODS, applicable, configure, space_of, stored_config
from dmt_ray.methods.space import Choice, Uniform
from dmt_ray.recipes import named

CFG = named("shapes")


def weight(method, config):
    """What the last training of a method reads."""
    return METHODS[method](config, 0).rungs[-1]["A"].inputs["model"].config.weight


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("online_st", {"weight.threshold": 0.7}),
        ("pseudo_label", {"weight.rise_start": 0.2, "weight.alpha_f": 1.0}),
        ("rwms", {"weight.b": 0.0}),
        ("dmt", {"weight.gamma1": 2.0}),
        ("dmt_naive", {"weight.gamma1": 2.0, "weight.gamma2": 3.0}),
    ],
)
def test_a_method_takes_the_numbers_of_its_own_rule(method, changes):
    read = weight(method, configure(METHODS[method], CFG, changes)).numbers()
    expected = {name.removeprefix("weight."): value for name, value in changes.items() if name != "weight.gamma2"}
    assert expected.items() <= read.items()


def test_a_number_that_neither_rule_reads_is_refused():
    with pytest.raises(ConfigError, match="'disagreement' reads gamma1, gamma2, ramp"):
        configure(METHODS["dmt"], CFG, {"weight.threshold": 0.7})


def test_numbers_of_its_own_rule_leave_the_rest_of_the_config_alone():
    changed = configure(METHODS["online_st"], CFG, {"weight.threshold": 0.7, "online.epochs": 9})
    assert changed.evolve(weight=CFG.weight) == override(CFG, {"online.epochs": 9})


def test_a_search_over_methods_gives_each_the_numbers_that_it_reads():
    space = {
        "method": Choice("dst", "online_st"),
        "weight.gamma1": Uniform(0, 8),
        "weight.threshold": Uniform(0.5, 0.9),
    }
    sweep = Sweep("s", "?", CFG, "dst", space, (0,))
    point = {"weight.gamma1": 4.0, "weight.threshold": 0.6}
    assert sweep.settings(point | {"method": "online_st"}) == {"weight.threshold": 0.6}
    assert sweep.settings(point | {"method": "dst"}) == {"weight.gamma1": 4.0}
    assert weight("online_st", sweep.config_of(point | {"method": "online_st"})).numbers() == {"threshold": 0.6}


def test_a_misspelt_number_is_not_taken_for_that_of_another_rule():
    assert applicable(METHODS["dst"], CFG, {"weight.gama1": 1, "weight.b": 2}) == {"weight.gama1": 1}


@pytest.mark.parametrize("method", ["online_st", "pseudo_label"])
def test_the_recipe_is_a_point_of_the_space_of_a_method_with_a_rule_of_its_own(method):
    point = default_point(CFG, method, space_of(method, "segmentation"))
    assert point is not None
    assert {name.removeprefix("weight."): value for name, value in point.items()} == weight(method, CFG).numbers()


def test_what_was_set_for_a_method_in_an_earlier_version_is_kept():
    old = {"rule": "disagreement", "gamma1": 0.5, "gamma2": 0.5, "threshold": 0.9, "a": 1.0, "b": 0.0, "ramp": False}
    values = CFG.model_dump(mode="json") | {"weight": old}
    assert weight("rwms", stored_config(METHODS["rwms"], values)).numbers() == {"a": 1.0, "b": 0.0}
    assert stored_config(METHODS["dmt"], values) == CFG


OTHER = {"model_b.encoder": "resnet18", "model_b.arguments": {}}
ONE_MODEL = ("baseline", "oracle", "online_st", "pseudo_label", "cbst", "dst", "dst_double", "mean_teacher", "unimatch")


@pytest.mark.parametrize("method", ONE_MODEL)
def test_a_method_with_one_model_refuses_model_b(method):
    with pytest.raises(ConfigError, match=f"model_b is set, but {method} has no model B"):
        configure(METHODS[method], CFG, OTHER)


@pytest.mark.parametrize("method", ["dmt", "cps", "iml", "rwms"])
def test_a_method_with_two_models_takes_model_b(method):
    assert configure(METHODS[method], CFG, OTHER).model_b.encoder == "resnet18"


def test_model_b_of_a_recipe_or_for_several_methods_is_no_error():
    recipe = named("rwms-voc-1/8")
    assert configure(METHODS["dst"], recipe, {"finetune.epochs": 3}).model_b == recipe.model_b
    assert configure(METHODS["dst"], CFG, OTHER, shared=True).model_b.encoder == "resnet18"
    assert configure(METHODS["dst"], recipe, {"model_b": None}).model_b is None
