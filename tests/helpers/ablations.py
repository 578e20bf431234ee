"""Small real ablations for tests: every stage is computed, in this process and without Ray."""

from collections.abc import Mapping
from pathlib import Path

from dmt_ray.execution.runner import Machine, Runner
from dmt_ray.experiments.ablation import Ablation, Column, Row, cells
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.experiments.experiment_file import ExperimentFile, write

ROWS = {"Baseline": Row("baseline"), "CBST": Row("cbst"), "DMT": Row("dmt")}


def perform(
    storage: Path, pictures: Path, settings: Path, rows: Mapping[str, Row] = ROWS, seeds: tuple[int, ...] = (0, 1)
) -> Path:
    """Perform an ablation on `pictures` with the recipe in the file `settings`; returns its folder."""
    runner = Runner(Machine(storage, pictures))
    made = cells(str(settings), (), rows, {"mine": Column()}, lambda config: runner.bind(config, seeds))
    ablation = Ablation("components", "What is each part of DMT worth?", "mine", made, seeds, "Baseline")
    config = made[0].config
    command = "python -m ablations.components"
    dataset_info = DatasetInfo.of(runner.dataset(config.data), config, seeds, command).to_json()
    file = ExperimentFile(ablation, storage, pictures, str(settings), (), 0, {"mine": dataset_info}, command)
    write(file.folder, file)
    runner.perform([stage for one in ablation.members() for rung in one.plan.rungs for stage in rung.values()])
    return file.folder
