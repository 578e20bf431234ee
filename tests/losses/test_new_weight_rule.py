"""A new weight rule is a file in `losses.rules`, here tests/helpers/rules/half.py, and a class in `config.weights`."""

import inspect
from importlib import import_module
from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from dmt_ray.config import WeightSettings, from_stored
from dmt_ray.errors import ConfigError
from dmt_ray.execution.runner import Runner
from dmt_ray.losses import rules
from dmt_ray.methods import dst
from dmt_ray.recipes import load
from dmt_ray.results.scores import history


class HalfWeight(WeightSettings):
    """Half of a scale."""

    rule: Literal["half"] = "half"
    scale: float = Field(0.5, ge=0, description="Twice the weight of each pseudo label.")


@pytest.fixture(autouse=True)
def _one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "__path__", [*rules.__path__, str(Path(__file__).parents[1] / "helpers/rules")])


def test_it_is_chosen_by_its_name_and_has_its_own_numbers():
    config = load("shapes", ["weight.rule=half", "weight.scale=0.25"])
    assert config.weight.identity() == {"rule": "half", "scale": 0.25}
    assert from_stored(config.model_dump(mode="json")) == config
    with pytest.raises(ConfigError, match="the weight rule 'half' reads scale"):
        load("shapes", ["weight.rule=half", "weight.gamma1=1"])


def test_a_student_is_trained_by_it(module_machine, tiny):
    runner = Runner(module_machine)
    taught = dst(runner.bind(tiny.with_weight(rule="half", scale=0.5)), 0).rungs[1]["A"].inputs["model"]
    runner.perform([taught])
    assert history(runner.store, taught)["mean_weight"].tolist() == pytest.approx([0.25] * 3, abs=1e-6)


@pytest.mark.parametrize("kind", WeightSettings.__subclasses__(), ids=lambda kind: kind.__name__)
def test_the_fields_of_a_class_are_the_numbers_of_its_rule(kind):
    rule = kind().rule
    keywords = inspect.signature(getattr(import_module(f"{rules.__name__}.{rule}"), rule)).parameters
    assert list(keywords) == ["seen", *kind().numbers(), "moment"]
