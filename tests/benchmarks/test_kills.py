"""A random kill schedule: the same from its seed, and a comparison that finds what differs."""

import dataclasses
import importlib
import subprocess
import sys
import time
from collections import Counter
from types import ModuleType

import pytest

from tests.helpers.paths import ROOT


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder's modules can be imported."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")


@pytest.fixture
def schedules(benchmarks: None) -> ModuleType:
    return importlib.import_module("kills_schedule")


def test_the_first_events_of_a_seed(schedules):
    events = schedules.schedule(7, 1)
    assert [(event.at, str(event)) for event in events] == [
        (2.5, "object store paused for 10.5 s"),
        (39.0, "driver interrupted"),
        (59.5, "worker killed"),
    ]
    assert schedules.digest(events) == "34e62f91"


def test_a_seed_gives_the_same_schedule_again_and_another_seed_another_one(schedules):
    assert schedules.schedule(7, 5) == schedules.schedule(7, 5)
    assert schedules.digest(schedules.schedule(8, 5)) != schedules.digest(schedules.schedule(7, 5))


def test_a_longer_schedule_begins_as_a_shorter_one(schedules):
    assert schedules.schedule(3, 60)[:15] == schedules.schedule(3, 5)


@pytest.mark.parametrize("seed", range(5))
def test_each_third_of_a_minute_has_an_event_and_each_kind_comes_once_in_fourteen(schedules, seed):
    events = schedules.schedule(seed, 28)
    assert len(events) == 84
    assert all(20 * i <= event.at <= 20 * (i + 1) for i, event in enumerate(events))
    kinds = [(event.target, event.what) for event in events]
    for first in range(0, 84, 14):
        assert Counter(kinds[first : first + 14]) == Counter(schedules.KINDS)
    assert all(2 <= event.seconds <= 40 and 0 <= event.draw < 1 for event in events)


def test_what_differs_is_named_down_to_the_file(benchmarks):
    results = importlib.import_module("kills_results").Results
    one = results({"label-0a": {"files": {"labels.npz": "00", "a.csv": "11"}}}, {}, {"t.csv": "1\n"}, {}, {})
    two = results({"label-0a": {"files": {"labels.npz": "01", "a.csv": "11"}}}, {"x": {}}, {"t.csv": "1\n"}, {}, {})
    assert one.differences(dataclasses.replace(one)) == []
    assert one.differences(two) == [
        "stages: label-0a: files: labels.npz: 00 is now 01",
        "shared: x: only there",
    ]
    assert two.differences(one)[1] == "shared: x: not there"


def test_the_outcome_in_one_line(benchmarks):
    kills = importlib.import_module("kills")
    course = kills.Course(Counter(driver=6, worker=1), missed=2, restarts=9)
    begin = "seed 7: 5 min, 7 events (6 driver, 1 worker), 2 that found nothing to strike, 9 restarts, 214 stages, "
    assert kills.sentence(7, 5.0, course, 214, []) == begin + "all byte-identical, tables identical"
    assert kills.sentence(7, 5.0, course, 214, ["stages: a: b", "stages: c: d"]) == begin + "stages DIFFERENT"


class Cluster:
    """Machines on which nothing goes wrong."""

    has_cluster = whole = True

    def tend(self) -> list[str]:
        return []

    def strike(self, event: object, driver: object) -> str:
        return "struck"


def test_an_undisturbed_run_that_was_interrupted_goes_on_behind_the_command_that_had_ended(
    benchmarks, tmp_path, monkeypatch
):
    kills = importlib.import_module("kills")
    log, began, now = kills.Log(tmp_path / "log.txt"), [], 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)

    def a_hundred_seconds(run, command, restarts):
        nonlocal now
        if began.append(command) or began == ["sweep", "ablate"]:
            raise KeyboardInterrupt
        now += 100.0
        return 0

    monkeypatch.setattr(kills.Run, "_status", a_hundred_seconds)

    def run():
        return kills.Run(Cluster(), tmp_path, log)

    with pytest.raises(KeyboardInterrupt):
        run().perform(["sweep", "ablate"])
    now = 5000.0
    course = run().perform(["sweep", "ablate"])
    assert began == ["sweep", "ablate", "ablate"]
    assert course.ends == [100.0, 200.0]


def test_each_command_has_its_own_part_of_the_schedule(benchmarks, schedules, tmp_path, monkeypatch):
    kills = importlib.import_module("kills")
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    events = [schedules.Event(at, "driver", "killed", 2.0, 0.0) for at in (10, 90, 99, 110)]
    log = kills.Log(tmp_path / "log.txt")
    run = kills.Run(Cluster(), tmp_path, log, events, 2.0, [190.0, 300.0])  # they strike after 20, 180, 198 and 220 s

    def ten_minutes(run, command, restarts):
        nonlocal now
        end = now + (150 if command == "sweep" else 600)
        while now < end:
            now += 1
            run._wait(0.0)
        return 0

    monkeypatch.setattr(kills.Run, "_status", ten_minutes)
    course = run.perform(["sweep", "ablate"])
    assert course.ends == [150.0, 750.0]
    said = [line.strip() for line in (tmp_path / "log.txt").read_text().splitlines()]
    assert said == [
        "20.0 s  driver killed: struck",
        "150.0 s  not needed any more: driver killed",  # the second, at 180 s; the part of the sweep ends at 190 s
        "158.0 s  driver killed: struck",  # 8 s behind its begin
        "180.0 s  driver killed: struck",
    ]


class NeverUp:
    """A program that ends at once."""

    alive, status, starts = False, 1, 0

    def has_said(self, words: str) -> bool:
        return False

    def start(self) -> None:
        self.starts += 1

    def kill(self) -> None:
        pass


def test_a_node_that_does_not_come_up_is_started_less_and_less_often(benchmarks, tmp_path, monkeypatch):
    machines = importlib.import_module("kills_machines").Machines(tmp_path)
    now, seen, node = 0.0, [], NeverUp()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(type(machines), "has_cluster", True)
    machines.programs = {"node": node}
    for now in range(300):
        seen += [(now, text) for text in machines.tend()]
    assert seen[0] == (0, "node did not come up (status 1) and is started anew in 10 s")
    assert [now for now, text in seen if text == "node is started anew"] == [10, 30, 70, 130, 190, 250]
    assert node.starts == 6
    machines.__exit__()


@pytest.mark.slow
def test_a_sweep_and_an_ablation_end_as_if_nothing_had_happened(tmp_path):
    command = [sys.executable, ROOT / "benchmarks" / "kills.py", "--minutes", "1", "--seed", "7"]
    done = subprocess.run([*command, "--storage", tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    assert done.stdout.splitlines()[-1].endswith("all byte-identical, tables identical")
    assert "schedule 34e62f91" in done.stdout
    again = subprocess.run([*command, "--storage", tmp_path], capture_output=True, text=True)
    assert again.returncode == 2
    assert "remove it to repeat this run" in again.stderr
