"""The contract of methods, on every method of this package, on a good one of others, and on deliberately wrong ones."""

import pytest

from dmt_ray.errors import ConfigError
from dmt_ray.methods import METHODS
from dmt_ray.recipes import named
from dmt_ray.testing import ContractBroken, check_method, check_plan
from tests.helpers import their_methods as theirs


@pytest.mark.parametrize("recipe", ["shapes", "digits", "camvid"])
@pytest.mark.parametrize("name", METHODS)
def test_every_method_keeps_the_contract_of_plans_or_refuses_the_data(name, recipe):
    cfg = named(recipe)
    try:
        # dst_double is about a pretraining of twice the steps.
        plan = check_plan(METHODS[name], cfg, shares_pretraining=name != "dst_double")
    except ConfigError as error:
        assert cfg.data.name in str(error)  # noqa: PT017
    else:
        assert plan == METHODS[name](cfg, 3)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (theirs.draws, "draws draws from the global generator of random: a plan must not depend on chance"),
        (theirs.counts, r"counts makes another plan when it is called again .* no random numbers, clock, file or"),
        (
            theirs.one_seed,
            r"one_seed was given the seed 3, but its stage pretrain-\w+ has the seed 0: hand `seed=",
        ),
        (theirs.half_a_seed, r"was given the seed 3, but its stage finetune-\w+ has the seed 7"),
        (theirs.changes_settings, r"changes_settings changes the settings that it is given: work on a copy"),
        (
            theirs.pretrains_longer,
            r"is not one that other methods share \(it differs in training\).* call `pretrain\(cfg",
        ),
        (theirs.no_evaluation, r"rung 0 of no_evaluation holds <pretrain-\w+> for model A: a rung holds evaluations"),
        (theirs.wrong_side, "rung 0 of wrong_side calls a model B that is model A: exchange them, or pretrain it with"),
        (theirs.no_plan, "no_plan must return a dmt_ray.Plan, but returns list"),
        (
            theirs.crashes,
            r"crashes\(config, 3\) raises AttributeError: .*finetuning.* A method takes settings",
        ),
    ],
)
def test_a_wrong_method_is_told_what_to_change(method, message):
    with pytest.raises(ContractBroken, match=message):
        check_plan(method, named("shapes"))


def test_a_pretraining_of_its_own_may_be_wanted():
    check_plan(theirs.pretrains_longer, named("shapes"), shares_pretraining=False)


def test_a_method_that_refuses_all_data_is_told_so():
    with pytest.raises(ContractBroken, match=r"for_nothing rejects all data .*check_squares is not; digits: .*video"):
        check_method(theirs.for_nothing)


@pytest.mark.slow
def test_a_plan_that_differs_from_process_to_process_is_found():
    with pytest.raises(ContractBroken, match="by_hash makes another plan in a fresh process: something in it follows"):
        check_method(theirs.by_hash)


@pytest.mark.slow
def test_a_good_method_of_others_is_performed_killed_and_tabled_and_leaves_no_name_behind():
    check_method(theirs.half)
    assert "half" not in METHODS


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dmt", "curriculum", "rml"])
def test_methods_of_the_house_keep_the_whole_contract(name):
    check_method(METHODS[name])
