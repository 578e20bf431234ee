"""A fault at every file operation with which an ablation ends: its failures, its notes, and its table in all forms."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from dmt_ray.errors import StoreError
from dmt_ray.execution import journal
from dmt_ray.experiments.experiment_file import read, read_failed, write, write_failed
from dmt_ray.report.tables.build import Table
from dmt_ray.report.tables.files import WRITERS, show_and_write, table_of
from dmt_ray.results import tidy
from dmt_ray.store import Store
from tests.helpers.disk import every_fault, every_power_cut
from tests.helpers.fake_stages import TWO_ROWS, ablation_file, perform

FAILED = {"pretrain-0123": "out of memory"}
ACTIVITY = journal.Activity("finetune-0123", "model A", 0, 1, "node", 17)


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    storage = tmp_path_factory.mktemp("runs")
    store, file = Store(storage), ablation_file("parts", TWO_ROWS)
    write(storage / "ablations" / "parts", file)
    perform(store, file)
    return tidy.of_ablation(storage / "ablations" / "parts", store)


@pytest.fixture(scope="module")
def table(frame: pd.DataFrame) -> Table:
    return table_of(frame)


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """The storage folder of an ablation whose last row is done, with the table of an earlier start."""
    storage = tmp_path / "runs"
    folder = storage / "ablations" / "parts"
    write(folder, ablation_file("parts", TWO_ROWS))
    write_failed(folder, FAILED)
    journal.begin(folder, "shared", ACTIVITY)
    for ending in WRITERS:
        (storage / "tables").mkdir(exist_ok=True)
        (storage / "tables" / f"parts-shapes{ending}").write_text("old", encoding="utf-8")
    return storage


def close(table: Table, frame: pd.DataFrame) -> Callable[[Path], None]:
    def scenario(storage: Path) -> None:
        folder = storage / "ablations" / "parts"
        with journal.locked(folder):
            journal.end_all(folder)
            write_failed(folder, {})
        show_and_write(table, storage / "tables", frame)

    return scenario


def check_with(table: Table) -> Callable[[Path], None]:
    whole = {ending: write(table) for ending, write in WRITERS.items()}

    def check(storage: Path) -> None:
        assert read(storage / "ablations" / "parts").ablation.seeds == (0, 1)
        assert read_failed(storage / "ablations" / "parts") in (FAILED, {})
        assert journal.last_activity(storage / "ablations" / "parts", "shared") in (ACTIVITY, None)
        for ending, text in whole.items():
            assert (storage / "tables" / f"parts-shapes{ending}").read_text(encoding="utf-8") in ("old", text)

    return check


def test_no_fault_loses_the_end_of_an_ablation(
    start: Path, table: Table, frame: pd.DataFrame, record_property: Callable[[str, object], None]
) -> None:
    tally = every_fault(start, close(table, frame), check_with(table), known=(StoreError, OSError))
    record_property("faults", tally.faults)
    assert tally.operations > 30


@pytest.mark.slow
def test_no_power_cut_loses_the_end_of_an_ablation(
    start: Path, table: Table, frame: pd.DataFrame, record_property: Callable[[str, object], None]
) -> None:
    record_property("power cuts", every_power_cut(start, close(table, frame), check_with(table)))
