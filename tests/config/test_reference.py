"""The rows of the page of settings, held against the settings themselves."""

from collections import Counter

import pytest

from dmt_ray.config import DATA_SETS, FOR_ALL, Config, DataSettings, Settings, WeightSettings
from dmt_ray.config.experiment import TRAININGS
from dmt_ray.config.reference import TRAINING, settings
from dmt_ray.recipes import RECIPES, named

ROWS = {(row.name, row.of): row for row in settings()}


def names(value: Settings, prefix: str = "") -> list[str]:
    """Dotted names of all settings in a value, as a person would set them, and of the groups at the top."""
    found = []
    for name in type(value).model_fields:
        inner = getattr(value, name)
        if not isinstance(inner, Settings) or not prefix:
            found.append(f"{prefix}{name}")
        if isinstance(inner, Settings):
            found += names(inner, f"{prefix}{name}.")
    return found


def row_names(config: Config) -> set[tuple[str, str]]:
    """The rows that are about the settings of a config."""
    expected = set()
    for name in names(config):
        start, _, rest = name.partition(".")
        of = {"data": config.data.name, "weight": config.weight.rule}.get(start, "")
        if start in TRAININGS and rest:
            name = f"{TRAINING}.{rest}"
        elif start == "model_b" and rest:
            name = f"model.{rest}"
        if name not in ("data", "weight"):  # whose kinds are settings: data.name and weight.rule
            expected.add((name, of if (name, of) in ROWS else ""))
    return expected


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_setting_of_every_recipe_has_a_row(recipe):
    assert row_names(named(recipe)) - ROWS.keys() == set()


def test_every_setting_of_every_data_set_and_weight_rule_has_a_row():
    for name in DATA_SETS:
        for field in DataSettings.kind(name).model_fields:
            assert {(f"data.{field}", name), (f"data.{field}", "")} & ROWS.keys(), (name, field)
    ours = [kind for kind in WeightSettings.__subclasses__() if kind.__module__.startswith("dmt_ray.")]
    for kind in ours:  # and not what other tests declare
        rule = kind.model_fields["rule"].default
        assert all((f"weight.{field}", rule) in ROWS for field in kind.model_fields if field != "rule"), rule


def test_no_setting_has_two_rows_and_none_is_made_up():
    assert Counter((row.name, row.of) for row in settings()).most_common(1)[0][1] == 1
    made = {(f"data.{field}", name) for name in DATA_SETS for field in DataSettings.kind(name).model_fields}
    for kind in WeightSettings.__subclasses__():
        made |= {(f"weight.{field}", kind.model_fields["rule"].default) for field in kind.model_fields}
    made |= {(name, "") for name in FOR_ALL}
    recipes = set().union(*(row_names(named(recipe)) for recipe in RECIPES))
    assert ROWS.keys() - recipes - made == set()


def test_every_row_says_what_the_setting_means():
    assert [row.name for row in ROWS.values() if not row.meaning.endswith(".") or not row.type] == []


@pytest.mark.parametrize(
    ("name", "of", "expected"),
    [
        ("dms_alpha", "", ("number", "1", "above 0.5 and at most 1")),
        ("TRAINING.batch", "", ("pair of whole numbers", "", "each at least 1, then at least 0")),
        ("TRAINING.score_every", "", ("whole number or none", "none", "at least 1")),
        (
            "percentiles",
            "",
            ("list of numbers", "[0.2, 0.4, 0.6, 0.8, 1]", "each above 0 and at most 1, 1 or more of them"),
        ),
        ("weight.gamma1", "disagreement", ("number", "5", "at least 0")),
        ("data.reported", "voc", ("text", "val", "val")),
        ("TRAINING.augment.flip", "", ("true or false", "true", "")),
    ],
)
def test_a_row_reads_type_default_and_range_from_the_setting(name, of, expected):
    assert ROWS[name, of][2:5] == expected
