"""The one display: what it counts, and what it says of the time that is left."""

import io
import json
import time

import pytest
from rich.console import Console

from dmt_ray.execution import progress
from dmt_ray.execution.progress import Progress
from dmt_ray.methods import METHODS
from dmt_ray.recipes import load
from dmt_ray.store import Store


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


PLAN = METHODS["baseline"](load("shapes"), 0)
MODEL, SCORE = PLAN.stages()


def finish(store: Store, stage) -> None:
    with store.write(stage) as folder:
        (folder / "file").write_text("text")


def effort(stage) -> float:
    return 30.0 if stage == MODEL else 10.0


def shown(store: Store, *, terminal: bool = False) -> tuple[Progress, io.StringIO]:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=100)
    return Progress(console, store, effort, PLAN.stages(), {MODEL: "Baseline, seed 0"}), file


def test_the_time_left_follows_from_what_was_done_since_the_first_stage_began(clock, tmp_path):
    store = Store(tmp_path)
    display, _ = shown(store)
    clock.now = 100.0  # workers start
    display.tick()
    assert display.time_left() == "not known yet"
    clock.now = 130.0
    finish(store, MODEL)
    display.tick()
    assert (display.counts(), display.time_left()) == ("1 of 2 stages", "about 10 s")  # 30 of 40 in 30 s


def test_a_stage_that_runs_counts_as_far_as_its_lease_says(clock, tmp_path):
    store = Store(tmp_path)
    display, _ = shown(store)
    clock.now = 1.0
    display.tick()
    with store.lease(MODEL):
        [file] = (tmp_path / "leases").glob("*.json")
        file.write_text(json.dumps(json.loads(file.read_text()) | {"step": 2, "steps": 3}))
        clock.now = 21.0
        display.tick()
        assert display.time_left() == "about 20 s"  # 20 of 40 in 20 s


def test_without_a_terminal_a_line_comes_now_and_then(clock, tmp_path):
    store = Store(tmp_path)
    display, file = shown(store)
    with display, store.lease(MODEL):
        for second in range(1, 100):
            clock.now = float(second)
            display.tick()
    lines = file.getvalue().splitlines()
    assert len(lines) == 99 // (progress.QUIET_SECONDS + 1)
    assert lines[0] == "0 of 2 stages | Baseline, seed 0: pretrain | time left: not known yet"


def test_on_a_terminal_one_screen_is_drawn_anew_at_most_once_a_second(clock, tmp_path):
    store = Store(tmp_path)
    display, file = shown(store, terminal=True)
    with display, store.lease(MODEL):
        clock.now = 2.0
        display.tick()
        once = file.getvalue()
        display.tick()
        assert file.getvalue() == once
    assert "time left: not known yet" in once
    assert "Baseline, seed 0: pretrain" in once


def test_what_cannot_come_any_more_is_not_waited_for(tmp_path):
    display, file = shown(Store(tmp_path))
    display.failed(MODEL, "the loss became nan")
    assert list(display.pending()) == []
    assert file.getvalue() == "failed: Baseline, seed 0: the loss became nan\n"


def test_a_thousand_members_with_the_same_stages_cost_one_sum(tmp_path):
    store = Store(tmp_path)
    display, _ = shown(store)
    for member in range(1000):
        display.expect(member, PLAN.stages())
    began = time.thread_time()
    display._measure()
    assert display._left == 40.0
    assert time.thread_time() - began < 2
