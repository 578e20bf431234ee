"""Experiments on disk that commands read; nothing is trained for them."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dmt_ray.cli import main as cli
from dmt_ray.experiments import experiment_file
from dmt_ray.experiments.experiment_file import ExperimentFile
from dmt_ray.experiments.run import Run
from dmt_ray.store import Store
from tests.helpers import fake_stages
from tests.helpers.fake_stages import CONFIG, TWO_ROWS, ablation_file


@pytest.fixture(scope="package")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of four trials (two complete, one failed, one interrupted), an ablation and a run.

    Of the ablation's two rows and two seeds the baseline is complete; the run is done.
    """
    runs = tmp_path_factory.mktemp("experiments") / "runs"
    store = Store(runs)
    sweep = fake_stages.sweep(runs)
    folder = runs / "sweeps" / sweep.name
    file = experiment_file.read(folder)
    experiment_file.write(folder, replace(file, command="dmt sweep joint --trials 4 --fresh --storage runs"))
    file = replace(ablation_file("components", TWO_ROWS), storage=runs, command="python -m ablations.components")
    experiment_file.write(file.folder, file)
    fake_stages.perform(store, file, ["Baseline"])
    command = "dmt run --method baseline --recipe mine.yaml"
    file = ExperimentFile(Run("baseline", CONFIG, 0), runs, None, "/home/me/mine.yaml", (), command=command)
    experiment_file.write(file.folder, file)
    return runs


@pytest.fixture
def dmt(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run `dmt` in this process; what it prints on standard output."""

    def call(*words: object, status: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["dmt", *map(str, words)])
        capsys.readouterr()
        assert cli.main() == status, capsys.readouterr().err
        return capsys.readouterr().out

    return call
