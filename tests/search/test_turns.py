"""At the end of a search trials take turns; none is lost, begun twice, or kept from its end."""

from pathlib import Path

import pytest

from dmt_ray.experiments.sweep import Sweep, Uniform
from dmt_ray.experiments.trials import read_trials
from dmt_ray.recipes import load
from dmt_ray.search.helping import START_SECONDS
from dmt_ray.search.study import Study
from dmt_ray.search.turns import Turns

G1 = "weight.gamma1"
LAST = 3  # rung


class Search:
    """A study, and trials that have begun; a step of each takes long unless it is said otherwise."""

    def __init__(self, folder: Path, total: int, room: int, *, grid: int = 0, known: tuple[float, ...] = ()) -> None:
        config = load("shapes", ["percentiles=[0.5,0.75,1.0]"])
        self.sweep = Sweep(
            "gamma_sweep", "?", config, "dmt", {G1: Uniform(0, 8)}, (0,), tuple({G1: value} for value in known), grid
        )
        self.folder, self.now, self.reported = folder, 0.0, dict[int, int]()
        self.numbers: dict[str, int] = {}
        self.study = Study(folder, self.sweep, total, sampler="random")
        self.turns = Turns(self.study, room, lambda: self.now)

    def take(self, token: str) -> int:
        taken = self.study.take(token)
        assert taken is not None
        self.turns.begun(taken[0])
        self.numbers[token] = taken[0]
        return taken[0]

    def report(self, token: str, number: int, step: int, *, score: float = 0.5, seconds: float = START_SECONDS) -> str:
        self.now += seconds
        self.reported[number] = max(step, self.reported.get(number, -1))
        if self.study.report(token, step, score):
            return "pruned"
        if self.turns.over(token, number, step):
            assert self.study.finish(token) == "running"
            return "paused"
        return "goes on"

    def end(self, token: str) -> int:
        """A trial performs all its steps; its number."""
        for step in range(LAST + 1):
            assert self.report(token, self.numbers[token], step, seconds=1) == "goes on"
        assert self.study.finish(token) == "complete"
        return self.numbers[token]

    def states(self) -> list[str]:
        return [trial.state for trial in read_trials(self.folder, self.sweep.name)]


def test_a_trial_makes_room_for_one_that_is_not_begun_and_goes_on_after_it(tmp_path):
    search = Search(tmp_path, 2, 1)
    assert search.take("a") == 0
    assert search.report("a", 0, 0) == "paused"
    assert search.take("b") == 1
    assert search.report("b", 1, 0) == "goes on"  # nobody has come less far
    assert search.report("b", 1, 1) == "paused"
    assert search.take("a again") == 0


def test_of_those_that_wait_the_one_that_has_come_least_far_goes_on_first(tmp_path):
    search = Search(tmp_path, 3, 2)
    search.take("a")
    assert search.report("a", 0, 0, seconds=1) == "goes on"
    assert search.report("a", 0, 1) == "paused"
    for token, number in (("b", 1), ("c", 2)):
        search.take(token)
        assert search.report(token, number, 0) == ("paused" if token == "b" else "goes on")
    assert search.report("c", 2, 1) == "paused"
    assert [search.take(token) for token in "xyz"] == [1, 0, 2]
    assert search.study.take("none is left") is None


@pytest.mark.parametrize(
    ("total", "room", "step", "seconds"),
    [
        pytest.param(2, 1, 0, START_SECONDS - 1, id="a step that is over before another trial could start"),
        pytest.param(2, 1, LAST, START_SECONDS, id="its last step"),
        pytest.param(3, 1, 0, START_SECONDS, id="more trials to be begun than there is room for"),
        pytest.param(1, 1, 0, START_SECONDS, id="nobody waits"),
        pytest.param(2, 0, 0, START_SECONDS, id="each goes on to its end"),
    ],
)
def test_a_trial_goes_on(tmp_path, total, room, step, seconds):
    search = Search(tmp_path, total, room)
    search.take("a")
    for before in range(step):
        search.report("a", 0, before, seconds=1)
    assert search.report("a", 0, step, seconds=seconds) == "goes on"


def test_the_steps_that_it_reports_again_are_no_reason_to_make_room_again(tmp_path):
    search = Search(tmp_path, 3, 2)
    search.take("a")
    search.report("a", 0, 0, seconds=1)
    assert search.report("a", 0, 1) == "paused"
    search.take("b")
    search.take("c")
    assert search.report("b", 1, 0) == "goes on"
    assert search.report("b", 1, 1) == "goes on"
    assert search.report("b", 1, 2) == "paused"
    search.take("a")
    assert [search.report("a", 0, step) for step in (0, 1)] == ["goes on"] * 2


def test_a_trial_is_judged_again_by_what_the_others_have_reached_meanwhile(tmp_path):
    search = Search(tmp_path, 5, 5)
    for number, token in enumerate("abcde"):
        search.take(token)
        for step in (0, 1):
            search.report(token, number, step, seconds=1)
        if number == 0:
            assert search.report(token, number, 2, score=0.1) == "paused"
        else:
            assert search.report(token, number, 2, score=0.5, seconds=1) == "goes on"
    search.take("a again")
    assert [search.report("a again", 0, step, score=0.1) for step in (0, 1, 2)] == ["goes on", "goes on", "pruned"]
    assert search.study.finish("a again") == "pruned"


def test_a_trial_that_waits_when_the_search_is_killed_is_taken_up_by_the_next_start(tmp_path):
    search = Search(tmp_path, 2, 1)
    search.take("a")
    assert search.report("a", 0, 0) == "paused"
    again = Search(tmp_path, 2, 1)
    assert (again.take("x"), again.take("y")) == (0, 1)
    assert again.study.take("none is left") is None


def test_a_trial_at_a_point_that_another_one_is_at_waits_until_that_has_ended(tmp_path):
    search = Search(tmp_path, 4, 0, known=(1.0, 1.0, 2.0, 1.0))
    assert [search.take(token) for token in "ab"] == [0, 2]
    assert search.study.take("c") is None
    assert (search.study.paused, search.study.remaining, search.study.ready) == (2, 0, False)
    for token, before in (("c", "a"), ("d", "c")):
        number = search.end(before)
        assert search.study.ready
        assert search.take(token) == number + 1 + (number == 1)
        assert search.study.take("none") is None  # another one waits for this
    search.end("d")
    search.end("b")
    assert search.states() == ["complete"] * 4
    assert not search.study.ready


def test_one_that_only_waits_for_its_twin_is_no_reason_to_make_room(tmp_path):
    search = Search(tmp_path, 2, 2, known=(1.0, 1.0))
    search.take("a")
    assert search.study.take("b") is None
    assert [search.report("a", 0, step) for step in range(LAST)] == ["goes on"] * LAST


def test_a_trial_that_goes_on_to_its_end_makes_no_room_for_one_whose_twin_has_ended(tmp_path):
    search = Search(tmp_path, 3, 0, known=(1.0, 2.0, 1.0))
    search.take("a")
    search.take("b")
    assert search.study.take("waits for a") is None
    search.end("a")
    assert search.report("b", 1, 0) == "goes on"


def test_where_no_trial_is_to_begin_any_more_those_that_wait_go_on(tmp_path):
    search = Search(tmp_path, 3, 0, known=(1.0, 1.0, 2.0))
    search.take("a")
    search.take("b")
    search.end("a")
    assert search.study.take("c", new=False) == (1, {G1: 1.0})
    assert search.study.take("d", new=False) is None


@pytest.mark.parametrize(("room", "steps"), [(1, 28), (2, 14), (3, 10)])
def test_no_worker_is_idle_before_the_last_steps_of_a_grid(tmp_path, room, steps):
    # Seven trials of four steps: one after the other in three places they would take 12 steps, in two 16.
    search = Search(tmp_path, 7, room, grid=7)
    running, tokens = {}, 0
    while search.study.remaining or search.study.paused or running:
        while len(running) < room and (search.study.remaining or search.study.paused):
            running[str(tokens)] = [search.take(str(tokens)), 0]
            tokens += 1
        search.now += START_SECONDS
        for token, (number, step) in list(running.items()):
            while step < search.reported.get(number, -1) + 1:  # what it has reported before takes no time
                search.report(token, number, step, seconds=0)
                step += 1
            said = search.report(token, number, step, seconds=0)
            running[token][1] = step + 1
            if said == "paused" or step == LAST:
                del running[token]
            if step == LAST:
                assert search.study.finish(token) == "complete"
    assert search.now == steps * START_SECONDS
    assert search.states() == ["complete"] * 7
