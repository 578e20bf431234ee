"""A fault at every file operation on experiment.json and failed.json, and a power cut behind each."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dmt_ray.errors import StoreError
from dmt_ray.experiments.experiment_file import ExperimentFile, read, read_failed, write, write_failed
from tests.helpers.disk import copy_of, every_fault, every_power_cut
from tests.helpers.fake_stages import TWO_ROWS, ablation_file

FAILED = {"pretrain-0123": "out of memory"}


@pytest.fixture
def file() -> ExperimentFile:
    return ablation_file("parts", TWO_ROWS)


@pytest.fixture
def start(tmp_path: Path, file: ExperimentFile) -> Path:
    """The folder of an ablation that was run with two seeds; now it goes on with a third."""
    folder = tmp_path / "ablations" / "parts"
    write(folder, file)
    write_failed(folder, FAILED)
    return folder


def go_on(file: ExperimentFile) -> Callable[[Path], None]:
    longer = replace(file, experiment=replace(file.ablation, seeds=(0, 1, 2)))

    def scenario(folder: Path) -> None:
        write(folder, longer)
        write_failed(folder, {})

    return scenario


def check(folder: Path) -> None:
    assert read(folder).ablation.seeds in ((0, 1), (0, 1, 2))
    assert read_failed(folder) in (FAILED, {})


def test_no_fault_loses_an_experiment(
    start: Path, file: ExperimentFile, record_property: Callable[[str, object], None]
) -> None:
    tally = every_fault(start, go_on(file), check, known=(StoreError, OSError))
    record_property("faults", tally.faults)
    assert tally.operations > 10
    assert read(copy_of(start)).ablation.seeds == (0, 1, 2)


def test_no_power_cut_loses_an_experiment(
    start: Path, file: ExperimentFile, record_property: Callable[[str, object], None]
) -> None:
    record_property("power cuts", every_power_cut(start, go_on(file), check))
