"""Every line of Python in docs/how-to/python.md, from top to bottom."""

import os
import re
import shutil
from collections.abc import Iterator
from typing import Any

import matplotlib.figure
import pandas as pd
import pytest
import torch

import dmt_ray
from dmt_ray.config import DATA_SETS
from dmt_ray.data.sets import shapes
from dmt_ray.methods import METHODS
from tests.helpers.paths import ROOT

TEXT = (ROOT / "docs" / "how-to" / "python.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(<!--.*?-->\n)?```python\n(.*?)```", TEXT, re.DOTALL)
ALONE = [code for comment, code in BLOCKS if not comment]
RECORDED = [code for comment, code in BLOCKS if comment]


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    yield
    METHODS.forget("half")
    DATA_SETS.forget("discs")


def execute(blocks: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, "docs/how-to/python.md", "exec"), values)
    return values


def assert_whole_job_done(values: dict[str, Any]) -> None:
    """What the page says of its values."""
    scores = values["scores"]
    assert isinstance(scores, pd.DataFrame)
    assert list(scores[["rung", "model"]].itertuples(index=False, name=None)) == [
        (r, m) for r in range(3) for m in "AB"
    ]
    assert scores[["validation_miou", "test_miou"]].map(lambda value: 0 < value < 1).all(axis=None)
    assert isinstance(values["figure"], matplotlib.figure.Figure)
    assert isinstance(values["model"], torch.nn.Module)
    assert not values["model"].training
    assert values["classes"].shape == (2, 64, 64)
    assert values["run"].missing() == []
    assert values["config_of_online_st"].weight.threshold == 0.8
    assert values["on_discs"].data.radius == 6
    assert len(values["mine"].executed) < len(values["mine"].plan.stages())  # the pretraining was there


def test_the_page_runs_from_top_to_bottom_on_few_images(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(os, "cpu_count", lambda: 1)  # two threads wait for each other where other tests run
    monkeypatch.setattr(shapes, "COUNTS", {"train": 24, "val": 4, "test": 4})
    monkeypatch.chdir(tmp_path)
    assert_whole_job_done(execute(ALONE))
    said = capsys.readouterr().out
    assert "rung 2" in said
    assert re.search(r"dmt-shapes-seed0-\w+: complete", said)


@pytest.mark.slow
def test_the_page_runs_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert_whole_job_done(execute(ALONE))


@pytest.mark.slow
def test_sweeps_and_ablations_are_opened_as_the_page_says(small_ablation, small_sweep, tmp_path, monkeypatch):
    storage = shutil.copytree(small_ablation[0].parents[1], tmp_path / "runs")
    (storage / "ablations" / small_ablation[0].name).rename(storage / "ablations" / "components-shapes-0")
    monkeypatch.chdir(tmp_path)
    values = execute(["import dmt_ray as dmt", *RECORDED])
    table, trials = values["table"], values["trials"]
    assert set(table["row"]) == {"Baseline", "CBST", "DST", "DMT", "Oracle"}
    assert len(table) == 10
    assert set(table["state"]) == {"there"}
    assert table["test_miou"].between(0, 1).all()
    last, chosen = table.set_index(["row", "seed"]), values["by_validation"].set_index(["row", "seed"])
    assert (chosen["validation_miou"] >= last["validation_miou"] - 1e-12).all()
    assert len(trials) == 9
    assert trials["score"].iloc[0] == trials["score"].max()
    assert {"param/weight.gamma1", "param/weight.gamma2", "validation_miou"} <= set(trials.columns)
    complete = trials[trials["state"] == "there"]
    assert complete["validation_miou"].to_list() == pytest.approx(
        complete["score"].to_list()
    )  # one seed, the last rung
    assert values["baseline"].run.seed == 1
    assert values["baseline"].scores()["test_miou"].iloc[0] == pytest.approx(last.loc[("Baseline", 1), "test_miou"])
    assert isinstance(values["network"], torch.nn.Module)
    assert len(values["records"]) > len(trials)


def test_the_page_names_everything_that_the_package_offers():
    table = TEXT.partition("| name |")[2].partition("\n\n")[0]
    assert all(f"`{name}" in table for name in dmt_ray.__all__)
