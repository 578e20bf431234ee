"""An ablation with looks gives more seeds to the rows that are open, and to no others."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from dmt_ray.cli.ablation_driver import _rounds, _Work, check_looks
from dmt_ray.cli.documents import TablesDocument
from dmt_ray.errors import ConfigError
from dmt_ray.experiments import experiment_file
from dmt_ray.experiments.ablation import Row
from dmt_ray.experiments.looks import looks_of
from dmt_ray.report.tables.files import open_rows, table_of
from dmt_ray.results import tidy
from dmt_ray.store import Store
from tests.helpers.fake_stages import ablation_file, fill

ROWS = {"Baseline": Row("baseline"), "CBST": Row("cbst"), "DMT": Row("dmt")}
LOOKS = (3, 4, 6)
# Beside Baseline's score of a seed: CBST is now above and now below, DMT gains about as much each time.
GAINS = {
    "Baseline": [0.00, 0.02, -0.01, 0.01, 0.03, -0.02],
    "CBST": [-0.09, -0.07, -0.11, -0.05, -0.09, -0.12],
    "DMT": [0.050, 0.070, 0.041, 0.059, 0.081, 0.031],
}


def work_of(storage: Path) -> _Work:
    file = ablation_file("looks", ROWS, tuple(range(6)))
    ablation = replace(file.ablation, looks=LOOKS)
    file = replace(file, experiment=ablation.extended(ablation.positions(), 3), storage=storage)
    return _Work(file)


def compute(work: _Work, store: Store) -> list[str]:
    """Compute what is missing, as the driver does; the names of the runs."""
    experiment_file.write(work.file.folder, work.file)
    computed = []
    for one in work.file.ablation.members():
        if fill(store, one.plan, gain=GAINS[one.cell.row][one.seed]):
            computed.append(f"{one.cell.row} {one.seed}")
    return computed


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def performed(work: _Work, store: Store, rounds: int = 9) -> list[list[str]]:
    """The runs that are computed in each round, of so many rounds."""
    seen = []
    for _, _ in zip(range(rounds), _rounds(Console(quiet=True), work, SimpleNamespace(store=store)), strict=False):
        seen.append(compute(work, store))
    return seen


def test_only_rows_that_are_open_and_the_reference_get_more_seeds(store):
    work = work_of(store.folder)
    first, second, third = performed(work, store)
    assert first == [f"{row} {seed}" for seed in range(3) for row in ROWS]
    assert second == ["Baseline 3", "CBST 3"]
    assert third == ["Baseline 4", "CBST 4", "Baseline 5", "CBST 5"]


def test_a_table_that_is_read_later_knows_its_looks(store):
    work = work_of(store.folder)
    performed(work, store)
    frame = tidy.of_ablation(work.file.folder)
    table = table_of(frame)
    (decided,) = [block for block in table.blocks if block.header[-1] == "decided"]
    texts = {row[0].text: row[-1].text for row in decided.rows}
    assert texts["DMT"] == "at 3 seeds (look 1 of 3)"
    assert texts["CBST"].startswith("open after 6 seeds; about ")
    assert not {mark for block in table.blocks for row in block.rows for mark in [row[1].mark] if mark}
    assert open_rows(frame) == {("CBST", "shapes")}
    document = TablesDocument.of([table]).tables[0]
    lines = {line.row: line for line in document.lines if line.rule == "last"}
    assert (lines["DMT"].look, lines["DMT"].needed, lines["CBST"].look) == (1, None, None)
    assert (lines["CBST"].needed or 0) > 6
    assert (lines["DMT"].holm, lines["DMT"].p, lines["DMT"].star) == (None, None, False)
    assert (lines["DMT"].n, lines["Baseline"].n, lines["DMT"].planned) == (3, 6, 3)


def test_a_start_that_was_stopped_goes_on_where_it_was(store):
    performed(work_of(store.folder), store, rounds=2)
    first, second, third = performed(work_of(store.folder), store)
    assert (first, second) == ([], [])
    assert third == ["Baseline 4", "CBST 4", "Baseline 5", "CBST 5"]


def test_a_look_that_is_not_complete_decides_nothing(store):
    work = work_of(store.folder)
    experiment_file.write(work.file.folder, work.file)
    for one in work.file.ablation.members():
        if one.seed < 2:
            fill(store, one.plan, gain=GAINS[one.cell.row][one.seed])
    frame = tidy.of_ablation(work.file.folder)
    assert open_rows(frame) == {("CBST", "shapes"), ("DMT", "shapes")}
    (block,) = [block for block in table_of(frame).blocks if block.header[-1] == "decided"]
    assert [cell.text for cell in block.rows[1]] == ["DMT", "–", "–", "open: not yet at 3 seeds"]


def test_a_row_whose_next_look_is_not_complete_says_how_many_seeds_were_compared(store):
    work = work_of(store.folder)
    rounds = _rounds(Console(quiet=True), work, SimpleNamespace(store=store))
    next(rounds)
    compute(work, store)
    next(rounds)
    experiment_file.write(work.file.folder, work.file)  # the seed of the second look is still missing
    (block,) = [block for block in table_of(tidy.of_ablation(work.file.folder)).blocks if block.header[-1] == "decided"]
    assert block.rows[0][-1].text.startswith("open after 3 seeds; about ")


def test_what_has_failed_is_not_tried_again_at_the_next_look(store):
    work = work_of(store.folder)
    first, *_, last = work.file.ablation.members()
    assert not work.lacks(first)
    work.failed[last.plan.rungs[-1]["A"].name] = "out of memory"
    assert (work.lacks(first), work.lacks(last)) == (False, True)


def test_looks_may_not_change_once_results_were_seen(store):
    work = work_of(store.folder)
    experiment_file.write(work.file.folder, work.file)
    check_looks(work.file)
    others = replace(work.file.ablation, looks=(2, 6))
    with pytest.raises(ConfigError, match=r"begun with looks after 3, 4, 6 seeds.*go on with --looks 3 4 6"):
        check_looks(replace(work.file, experiment=others))
    check_looks(replace(work.file, experiment=replace(others, seeds=tuple(range(100, 106)))))


@pytest.mark.parametrize("looks", [[1, 5], [3, 3], [5, 3]])
def test_looks_that_do_not_rise_from_2_are_refused(looks):
    with pytest.raises(ConfigError, match="--looks takes increasing numbers of seeds, the first at least 2"):
        looks_of(True, looks)


def test_looks_without_until_decided_are_refused():
    assert looks_of(True, None) == (3, 5, 8, 12)
    assert looks_of(False, None) == ()
    with pytest.raises(ConfigError, match="--looks belongs to --until-decided"):
        looks_of(False, [3, 5])
