"""`import dmt_ray`: its names, what they cost, and results without an experiment of their own."""

import ast
import subprocess
import sys

import pytest

import dmt_ray
from dmt_ray.api.results import RunResults
from dmt_ray.errors import ConfigError, MissingStages
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.experiments.reproduce import changes_of
from dmt_ray.experiments.run import Run
from dmt_ray.methods import METHODS
from dmt_ray.recipes import load, named
from dmt_ray.report.figures import kit
from dmt_ray.store import Store
from tests.helpers import their_methods as theirs
from tests.helpers.paths import ROOT


def fresh(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout


def test_every_name_is_there_and_nothing_is_imported_before_it_is_used():
    code = """
import sys
before = set(sys.modules)
import dmt_ray
print(*(name for name in set(sys.modules) - before if name.startswith("dmt_ray.")))
print(*dir(dmt_ray))
dmt_ray.recipe("shapes")
print(*{"torch", "ray", "mlflow", "optuna", "pandas"} & set(sys.modules))
print(*(name for name in dmt_ray.__all__ if getattr(dmt_ray, name) is None))
"""
    own, names, heavy, missing = fresh(code).split("\n")[:4]
    assert (own, heavy, missing) == ("", "", "")
    assert names.split() == sorted(dmt_ray.__all__)


def test_editors_and_mypy_see_the_names_that_there_are():
    tree = ast.parse((ROOT / "dmt_ray" / "__init__.py").read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {(f"{one.module}", name.name) for one in block.body for name in one.names}
    lazy = {(f"dmt_ray.{module}", name) for module, names in dmt_ray._MODULES.items() for name in names}
    assert typed == lazy
    assert {name for _, name in lazy} | {"IGNORE"} == set(dmt_ray.__all__)


def test_no_name_is_that_of_a_package():
    folders = {path.parent.name for path in (ROOT / "dmt_ray").glob("*/__init__.py")}
    assert folders.isdisjoint(dmt_ray.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'dmt_ray' has no attribute 'perfrom'"):
        dmt_ray.perfrom  # noqa: B018


def test_a_method_is_given_by_its_name_or_as_a_registered_function(tmp_path):
    for method, message in (("dmr", "no method 'dmr'; did you mean 'd"), (theirs.half, "'half' is not a registered")):
        with pytest.raises(ConfigError, match=message):
            dmt_ray.perform(named("shapes"), method, storage=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_settings_and_seeds_of_other_kinds_are_refused(tmp_path):
    for config, seed, message in (
        ("shapes", 0, r"such as dmt_ray.recipe\('shapes'\), but got 'shapes'"),
        (named("shapes"), "a", "but got 'a'"),
    ):
        with pytest.raises(ConfigError, match=message):
            dmt_ray.perform(config, "dmt", seed=seed, storage=tmp_path)


def test_options_are_checked_as_those_of_the_command(tmp_path):
    with pytest.raises(ConfigError, match="--workers must be 1 or an even number"):
        dmt_ray.perform(named("shapes"), storage=tmp_path, workers=3)
    with pytest.raises(ConfigError, match="--gpus-per-worker is for --workers 2 or more"):
        dmt_ray.perform(named("shapes"), storage=tmp_path, gpus_per_worker=0.5)


@pytest.mark.parametrize(
    ("method", "changes", "overrides"),
    [
        ("dmt", {}, ()),
        ("dmt", {"finetune": {"epochs": 2}, "percentiles": [0.5, 1]}, ("finetune.epochs=2", "percentiles=[0.5, 1.0]")),
        ("dmt", {"weight.rule": "uniform", "dms_alpha": 0.8}, ('weight.rule="uniform"', "dms_alpha=0.8")),
        ("dmt", {"retrain": None, "split.selection": "valtiny"}, ('split.selection="valtiny"', "retrain=null")),
    ],
)
def test_settings_are_repeated_by_the_overrides_that_differ_from_the_recipe(method, changes, overrides):
    config = dmt_ray.override(named("shapes"), changes, method=method)
    assert changes_of(config, METHODS[method]) == overrides
    assert load("shapes", overrides) == config


def test_numbers_of_a_method_s_own_rule_are_repeated_too():
    config = dmt_ray.override(named("shapes"), {"weight.threshold": 0.8}, method="online_st")
    overrides = changes_of(config, METHODS["online_st"])
    assert overrides == ('weight.rule="online"', "weight.threshold=0.8")
    assert load("shapes", overrides) == config


def test_settings_of_no_named_recipe_have_no_command():
    assert changes_of(named("shapes").evolve(recipe="mine"), METHODS["dmt"]) is None


@pytest.fixture
def nothing(tmp_path) -> RunResults:
    return RunResults(Run("dmt", named("shapes"), 0), Store(tmp_path), DatasetInfo())


def test_a_run_that_is_not_computed_says_so(nothing):
    assert repr(nothing).splitlines()[0].endswith(": 34 of 34 stages are missing")
    assert len(nothing.scores()) == 12
    with pytest.raises(MissingStages):
        nothing.model("A")
    with pytest.raises(MissingStages, match="has no complete training yet"):
        nothing.figure()


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"rung": 6}, "has the rungs 0 to 5, but got 6"),
        ({"side": "C"}, "trains only A and B, but got the side 'C'"),
        ({"rule": "best"}, "a selection rule is 'last', 'val' or 'paper', but got 'best'"),
    ],
)
def test_a_model_that_there_is_not_is_an_error(nothing, wanted, message):
    with pytest.raises(ConfigError, match=message):
        nothing.model(**wanted)


def test_a_figure_that_there_is_not_is_an_error(nothing):
    with pytest.raises(ConfigError, match="has no figure 'curve'; did you mean 'curves'"):
        nothing.figure("curve")


def test_a_plan_reads_as_its_explanation():
    plan = METHODS["baseline"](named("shapes"), 0)
    assert repr(plan) == plan.explain()


def test_a_notebook_shows_a_figure_without_pyplot():
    figure, axes = kit.new_axes()
    axes.plot([0, 1], [0, 1])
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_results_that_are_not_there_are_answered_with_what_there_is(tmp_path):
    with pytest.raises(MissingStages, match="there are no sweeps, ablations or runs in"):
        dmt_ray.open_results("dmt-shapes", tmp_path)
    assert list(dmt_ray.list_results(tmp_path).columns) == ["kind", "name"]
