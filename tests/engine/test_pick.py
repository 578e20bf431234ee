import json
from dataclasses import replace
from pathlib import Path

import pytest

from dmt_ray.config import Split
from dmt_ray.engine.pick import pick
from dmt_ray.engine.team import Team
from dmt_ray.engine.workspace import Workspace
from dmt_ray.plan.operations.pick import Pick
from dmt_ray.recipes import named

DATA, SPLIT = named("shapes").data, Split(labelled=2)


@pytest.fixture
def picked(tmp_path: Path):
    """The files that are picked of two models with given scores."""

    def perform(first: dict, second: dict, *, better: bool = True, averaged: bool = False, rank: int = 0) -> dict:
        inputs = {}
        for name, said in (("first", first), ("second", second)):
            inputs[name], inputs[f"{name}_scores"] = tmp_path / name, tmp_path / f"{name}_scores"
            for folder in (inputs[name], inputs[f"{name}_scores"]):
                folder.mkdir()
            (inputs[f"{name}_scores"] / "metrics.json").write_text(json.dumps({"selection": said, "reported": {}}))
            (inputs[name] / "history.csv").write_text("not a part of the model")
            for file in ("model.json", "model.safetensors", *["model-averaged.safetensors"] * averaged):
                (inputs[name] / file).write_text(f"{file} of the {name}")
        (tmp_path / "out").mkdir()
        work = Workspace(None, team=Team(rank, 1 + rank))
        config = Pick(data=DATA, split=SPLIT, better=better)
        made = pick(config, replace(work, inputs=inputs, out=tmp_path / "out", scratch=tmp_path))
        assert made == 1
        return {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}

    return perform


@pytest.mark.parametrize(
    ("first", "second", "better", "expected"),
    [
        pytest.param(0.5, 0.4, True, "first", id="the better is the first"),
        pytest.param(0.4, 0.5, True, "second", id="the better is the second"),
        pytest.param(0.4, 0.5, False, "first", id="the other one is the first"),
        pytest.param(0.5, 0.4, False, "second", id="the other one is the second"),
        pytest.param(0.5, 0.5, True, "first", id="of equal ones the first is the better"),
        pytest.param(0.5, 0.5, False, "second", id="of equal ones the second is the other"),
    ],
)
def test_which_of_two_models_is_picked(picked, first, second, better, expected):
    files = picked({"miou": first}, {"miou": second}, better=better)
    assert files["model.safetensors"] == f"model.safetensors of the {expected}"
    assert files["model.json"] == f"model.json of the {expected}"
    assert json.loads(files["choice.json"]) == {"picked": expected, "scores": {"first": first, "second": second}}
    assert set(files) == {"model.json", "model.safetensors", "choice.json"}


def test_averaged_weights_come_along(picked):
    files = picked({"miou": 0.2}, {"miou": 0.3}, averaged=True)
    assert files["model-averaged.safetensors"] == "model-averaged.safetensors of the second"


def test_the_measure_of_the_data_decides(picked):
    first = {"measure": "accuracy", "accuracy": 0.9, "miou": 0.1}
    second = {"measure": "accuracy", "accuracy": 0.8, "miou": 0.2}
    assert json.loads(picked(first, second)["choice.json"])["picked"] == "first"


def test_the_chief_alone_writes(picked):
    assert picked({"miou": 0.2}, {"miou": 0.3}, rank=1) == {}
