"""A small ablation that is really computed, for what computes it again."""

import shutil
from pathlib import Path

import pytest

from dmt_ray.config import Config, override
from dmt_ray.execution.runner import Machine, Runner
from dmt_ray.experiments import experiment_file
from dmt_ray.experiments.ablation import Ablation, Cell
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.experiments.experiment_file import ExperimentFile

SHORT = {"pretrain.epochs": 2, "finetune.epochs": 1, "percentiles": (1.0,)}


@pytest.fixture(scope="package")
def made(tmp_path_factory: pytest.TempPathFactory, pictures: Path, tiny: Config) -> Path:
    """The folder of an ablation of two rows and one seed, five stages in all: pretrain, label, finetune, 2 evaluate."""
    storage = tmp_path_factory.mktemp("audited") / "runs"
    runner = Runner(Machine(storage, pictures, device="cpu"))
    config = runner.bind(override(tiny, SHORT))
    rows = {"Baseline": "baseline", "CBST": "cbst"}
    cells = tuple(Cell(row, "pictures", method, config, "shapes") for row, method in rows.items())
    ablation = Ablation("small", "Is it so?", "shapes", cells, (0,), "Baseline")
    runner.perform([stage for one in ablation.members() for stage in one.plan.targets()])
    info = {"pictures": DatasetInfo.of(runner.dataset(config.data), config, (0,)).to_json()}
    command = "dmt ablate small --recipe /home/me/mine.yaml --storage /home/me/runs --set weight.gamma1=5"
    file = ExperimentFile(ablation, storage, pictures, "shapes", dataset_info=info, command=command)
    experiment_file.write(file.folder, file)
    return file.folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of it for one test."""
    storage = tmp_path / "runs"
    shutil.copytree(made.parents[1], storage, ignore=shutil.ignore_patterns("audits", "audit.json"))
    return storage / "ablations" / made.name
