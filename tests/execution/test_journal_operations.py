"""A fault at every file operation of the journal, and a power cut behind each."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dmt_ray.execution import journal
from dmt_ray.execution.journal import Activity
from tests.helpers.disk import copy_of, every_fault, every_power_cut

KEYS = tuple(f"{number:020x}" for number in range(4))
ACTIVITY = Activity("pretrain-0123", "model A: 20 steps", 0, 1, "node1", 12)


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """A journal that holds one stage and one fault."""
    journal.note_executed(tmp_path / "sweep", 7, KEYS[:1])
    journal.write_fault(tmp_path / "sweep", 7, "lost", "the first", None)
    return tmp_path / "sweep"


def go_on(folder: Path) -> None:
    with journal.locked(folder):
        journal.begin(folder, 7, ACTIVITY)
        journal.note_executed(folder, 7, KEYS[1:3])
        journal.write_fault(folder, 7, "lost", "the second", ACTIVITY)
        journal.note_executed(folder, 7, KEYS[3:])
        journal.end(folder, 7)


def check(folder: Path) -> None:
    keys = journal.executed(folder, 7)
    assert keys[0] == KEYS[0]
    assert len(set(keys)) == len(keys)
    assert set(keys) <= set(KEYS)
    errors = [fault.error for fault in journal.read_faults(folder)]
    assert errors[0] == "the first"
    assert set(errors) <= {"the first", "the second"}
    assert journal.last_activity(folder, 7) in (None, ACTIVITY)


def test_no_fault_loses_what_the_journal_held_or_tears_what_follows(
    start: Path, record_property: Callable[[str, object], None]
) -> None:
    tally = every_fault(start, go_on, check, known=OSError)
    record_property("faults", tally.faults)
    assert tally.operations > 20
    assert journal.executed(copy_of(start), 7) == KEYS


def test_no_power_cut_loses_what_the_journal_held_or_tears_what_follows(
    start: Path, record_property: Callable[[str, object], None]
) -> None:
    record_property("power cuts", every_power_cut(start, go_on, check))


def test_a_line_behind_a_torn_one_is_read(tmp_path: Path) -> None:
    journal.note_executed(tmp_path, 7, KEYS[:1])
    with (tmp_path / "executed" / "7.txt").open("a") as file:
        file.write(KEYS[1][:5])
    journal.note_executed(tmp_path, 7, KEYS[2:3])
    assert journal.executed(tmp_path, 7) == (KEYS[0], KEYS[2])
    (tmp_path / "faults.jsonl").write_text('{"who": 7, "ki')
    journal.write_fault(tmp_path, 7, "failed", "no memory", None)
    assert [fault.error for fault in journal.read_faults(tmp_path)] == ["no memory"]
