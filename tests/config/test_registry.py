"""Methods and data sets of other people: entry points and decorators, and what is said when they do not work."""

import sys
from collections.abc import Iterator
from typing import Literal

import pytest

from dmt_ray.config import DATA_SETS, Config, dataset, registry
from dmt_ray.data.source import DataSource
from dmt_ray.errors import ConfigError
from dmt_ray.methods import METHODS, method, searched, space_of
from dmt_ray.methods.space import Uniform
from dmt_ray.recipes import load, named
from tests.helpers import their_methods as theirs
from tests.helpers.distributions import install
from tests.helpers.stripes import StripesData

MODULE = """
from dmt_ray.methods import dst
def gentle(cfg, seed):
    '''DST with half the exponents.'''
    return dst(cfg.with_weight(gamma1=1.0), seed)
number = 7
"""


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    registry.installed.cache_clear()
    yield
    registry.installed.cache_clear()
    for name in ("half", "draws", "stripes"):
        METHODS.forget(name)
        DATA_SETS.forget(name)
    METHODS._loaded.clear()


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder on the path; modules that were imported from it are forgotten at the end."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_an_entry_point_is_a_method_like_any_other(site):
    install(site, "their-dmt", {"their_dmt": MODULE}, {"dmt_ray.methods": {"gentle": "their_dmt:gentle"}})
    assert "gentle" in METHODS
    assert list(METHODS)[-1] == "gentle"
    assert METHODS["gentle"](named("shapes"), 0).rungs[1]["A"].inputs["model"].config.weight.gamma1 == 1.0


def test_names_of_entry_points_are_known_without_an_import(site):
    install(site, "their-dmt", {"their_dmt": "1 / 0"}, {"dmt_ray.methods": {"gentle": "their_dmt:gentle"}})
    assert "gentle" in list(METHODS)
    assert "their_dmt" not in sys.modules


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("their_dmt:harsh", "AttributeError: module 'their_dmt' has no attribute 'harsh'"),
        ("no_such_module:gentle", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("their_dmt:number", "a method must be a function from settings and a seed to a plan"),
    ],
)
def test_a_broken_entry_point_is_one_sentence_that_names_its_package(site, place, why):
    install(site, "their-dmt", {"their_dmt": MODULE}, {"dmt_ray.methods": {"gentle": place}})
    with pytest.raises(ConfigError) as error:
        METHODS["gentle"]
    assert str(error.value) == (
        f"the method 'gentle' of the package their-dmt 1.0 cannot be used: {place}: {why}. Fix or uninstall it"
    )
    there, faults = METHODS.usable()
    assert "dmt" in there
    assert faults == [str(error.value)]


def test_a_name_that_is_taken_is_an_error_whoever_came_first(site):
    install(site, "their-dmt", {"their_dmt": MODULE}, {"dmt_ray.methods": {"dmt": "their_dmt:gentle"}})
    with pytest.raises(ConfigError, match=r"the method 'dmt' is claimed by dmt_ray and by the package their-dmt 1\.0;"):
        METHODS["dmt"]
    assert METHODS["baseline"]


def test_two_packages_that_claim_one_name_are_both_named(site):
    for name in ("one", "two"):
        install(site, name, {f"module_{name}": MODULE}, {"dmt_ray.methods": {"gentle": f"module_{name}:gentle"}})
    with pytest.raises(ConfigError, match=r"claimed by the package (one|two) 1\.0 and by the package (one|two) 1\.0"):
        METHODS["gentle"]


def test_a_decorator_registers_a_method_and_what_can_be_searched_in_it():
    space = {"weight.gamma1": Uniform(0, 8)}
    assert method(searched(space)(theirs.half)) is theirs.half
    assert METHODS["half"] is theirs.half
    assert space_of("half", "segmentation") == space
    method(theirs.half)  # a cell of a notebook that is run again
    method(theirs.draws)
    with pytest.raises(ConfigError, match=r"'draws' does not declare a search space"):
        space_of("draws", "segmentation")


def test_a_decorator_refuses_a_name_that_is_taken():
    def dmt(cfg, seed): ...

    with pytest.raises(ConfigError, match=r"dmt: the method 'dmt' is taken by dmt_ray; choose another name"):
        method(dmt)
    METHODS.register("half", theirs.half)
    with pytest.raises(ConfigError, match=r"is taken by tests\.helpers\.their_methods\.half; choose another name"):
        METHODS.register("half", theirs.draws)


def test_a_name_that_nobody_has_registered_is_answered_with_the_nearest():
    method(theirs.half)
    with pytest.raises(ConfigError, match=r"^there is no method 'halff'; did you mean 'half'"):
        METHODS["halff"]
    assert METHODS.get("halff") is None


def test_a_decorator_registers_a_data_set_whose_settings_are_read_by_name():
    assert dataset(StripesData) is StripesData
    config = load("shapes", ["data={name: stripes, width: 2}"])
    assert isinstance(config.data, StripesData)
    assert Config(**config.model_dump(mode="json")) == config


def test_a_data_set_by_entry_point_is_found_by_its_name(site):
    install(site, "their-data", {}, {"dmt_ray.datasets": {"stripes": "tests.helpers.stripes:StripesData"}})
    assert type(load("shapes", ["data={name: stripes, width: 2}"]).data) is StripesData


def test_a_class_that_is_no_data_set_is_refused():
    class Other(DataSource):
        name: Literal["other"] = "other"

    with pytest.raises(ConfigError, match=r"no_data cannot be registered .* is a subclass of dmt_ray.data.source.Data"):
        dataset(type("no_data", (), {}))
    with pytest.raises(ConfigError, match=r"its field `name` must read  name: Literal\['mine'\] = 'mine'"):
        DATA_SETS.register("mine", Other)
