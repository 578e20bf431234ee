"""The one display: what it counts, and what it says of the time that is left."""

import io
import json
import time

import pytest
from rich.console import Console

from dmt_ray.execution import progress
from dmt_ray.execution.progress import Counting, Progress
from dmt_ray.methods import METHODS
from dmt_ray.recipes import load
from dmt_ray.store import Store


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return time.time()


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
    display.failed(MODEL, "the loss became NaN or infinite")
    assert list(display.pending()) == []
    assert file.getvalue() == "failed: Baseline, seed 0: the loss became NaN or infinite\n"


def test_a_thousand_members_with_the_same_stages_cost_one_sum(tmp_path):
    store = Store(tmp_path)
    display, _ = shown(store)
    for member in range(1000):
        display.expect(member, PLAN.stages())
    began = time.thread_time()
    display._measure()
    assert display._left == 40.0
    assert time.thread_time() - began < 2


def test_a_stage_of_another_process_says_whose_it_is(tmp_path, clock):
    store = Store(tmp_path)
    with store.lease(MODEL) as theirs:
        theirs.beat(20, 400)
        one = Progress(Console(quiet=True), store, lambda stage: 1.0, PLAN.stages())
        (lease,) = store.running()
        said = one.now([lease], PLAN.stages())
    assert said == f"pretrain 20/400 (waiting: process {lease.pid} on {lease.host} has computed since {since(lease)})"


def counting(*pixels: float, terminal: bool = True) -> tuple[Counting, io.StringIO]:
    file = io.StringIO()
    return Counting(Console(file=file, force_terminal=terminal, width=100), "picture", pixels), file


def test_the_time_that_pictures_take_goes_by_their_pixels_also_within_one(clock):
    pictures, file = counting(100, 300)
    with pictures:
        clock.now = 10.0
        pictures.one_more()
        first = file.getvalue()
        clock.now = 22.0
        pictures.part(0.4)  # of 300 are 120
        second = file.getvalue()[len(first) :]
    assert "1 of 2 pictures, 25 % of the pixels" in first
    assert "time left: about 30 s" in first  # 300 of 400, 10 a second
    assert "1 of 2 pictures, 55 % of the pixels" in second
    assert "time left: about 18 s" in second  # 180 of 400, 10 a second


def test_pictures_without_work_tell_nothing_of_the_time(clock):
    pictures, file = counting(100, 300)
    with pictures:
        clock.now = 5.0
        pictures.skip()
        assert "1 of 2 pictures, 25 % of the pixels" in file.getvalue()
        assert "time left: not known yet" in file.getvalue()
        clock.now = 15.0
        pictures.part(1 / 3)
        assert "1 of 2 pictures, 50 % of the pixels" in file.getvalue()
        assert "time left: about 20 s" in file.getvalue()  # 200 of 300, 10 a second


@pytest.mark.parametrize("damaged", [0, 1, 2])
def test_a_damaged_picture_among_others_counts_as_done_wherever_it_stands(damaged, clock):
    pictures, file = counting(100, 100, 100)
    with pictures:
        for number in range(3):  # within a second
            pictures.skip() if number == damaged else pictures.one_more()
        assert "3 of 3" not in file.getvalue()
    assert "3 of 3 pictures, 100 % of the pixels" in file.getvalue()


def test_what_ends_by_an_error_is_not_shown_as_done(clock):
    pictures, file = counting(100, 100)
    pictures.__enter__()
    pictures.one_more()
    pictures.one_more()
    pictures.__exit__(OSError, OSError("the disk is full"), None)
    assert "2 of 2" not in file.getvalue()


def test_a_picture_alone_gives_lines_where_there_is_no_terminal(clock):
    picture, file = counting(100, terminal=False)
    with picture:
        for second in range(1, 50):
            clock.now = float(second)
            picture.part(second / 50)
        picture.one_more()
    first, last = file.getvalue().splitlines()
    assert first == "0 of 1 picture, 62 % of the pixels | time left: about 19 s"
    assert last == "1 of 1 picture, 100 % of the pixels"


def test_without_a_terminal_short_work_prints_nothing(clock):
    picture, file = counting(100, terminal=False)
    with picture:
        picture.one_more()
    assert file.getvalue() == ""


def test_what_is_predicted_after_the_display_has_ended_shows_nothing(clock):
    pictures, file = counting(100, 300)
    with pictures:
        pictures.to(2)
    before, clock.now = file.getvalue(), 10.0
    pictures.part(0.5)
    assert file.getvalue() == before


def since(lease) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(lease.started))
