"""`dmt recipes` and `dmt methods`."""

import pytest

from dmt_ray.methods import METHODS
from dmt_ray.recipes import RECIPES, load


def test_recipes_are_listed_with_task_and_data_set(dmt):
    lines = {line.split()[0]: line.split() for line in dmt("recipes").splitlines()}
    assert lines.keys() == RECIPES.keys()
    assert lines["camvid-full"][1:4] == ["segmentation", "camvid", "CamVid"]
    assert lines["cifar10-small"][1:3] == ["classification", "class_folders"]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_printed_as_a_file_that_is_the_same_recipe(name, dmt, tmp_path):
    (tmp_path / "mine.yaml").write_text(dmt("recipes", name))
    assert load(str(tmp_path / "mine.yaml")) == load(name).evolve(recipe="mine")


def test_what_a_recipe_leaves_at_its_default_is_marked(dmt):
    lines = [line.split("  # ") for line in dmt("recipes", "shapes").splitlines()]
    assert ["pretrain.epochs: 160"] in lines
    assert ["pretrain.momentum: 0.9", "the default"] in [[part.strip() for part in line] for line in lines]


def test_a_file_of_ones_own_is_printed_with_all_its_settings(dmt, settings, tmp_path):
    said = dmt("recipes", settings)
    assert "recipe: folder\n" in said
    (tmp_path / "again.yaml").write_text(said)
    assert load(str(tmp_path / "again.yaml")) == load(str(settings)).evolve(recipe="again")


def test_a_method_is_described_with_what_can_be_searched_in_it(dmt):
    said = dmt("methods", "dst")
    assert METHODS["dst"].__doc__.splitlines()[0] in said
    assert "searched for segmentation:\n  weight.gamma1               from 0 to 8\n" in said


def test_names_that_are_searched_and_no_settings_stand_beside_what_can_be_set(dmt):
    listed = " ".join(dmt("methods").split())
    schedule = "schedule.start, schedule.end, schedule.iterations, schedule.curvature"
    assert f"searchable: percentiles (by {schedule}), label" in listed  # of CBST
    said = dmt("methods", "cbst")
    assert "an integer from 1 to 9; makes percentiles\n" in said
    assert "--set takes percentiles in place of what makes them" in said
    assert "percentiles" not in dmt("methods", "baseline")


@pytest.mark.parametrize(
    ("words", "message"),
    [(("methods", "dmr"), "did you mean 'dm"), (("recipes", "shaps"), "did you mean 'shapes'?")],
)
def test_a_misspelt_name_is_an_error_with_the_nearest(words, message, monkeypatch, capsys):
    from dmt_ray.cli import main as cli

    assert cli.main(words) == 2
    assert message in capsys.readouterr().err
