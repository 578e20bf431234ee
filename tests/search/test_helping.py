"""At the end of a search workers without a trial take what the last trials need, and leave each trial its own part."""

import pytest

from dmt_ray.experiments.sweep import Sweep, Uniform
from dmt_ray.plan import Stage
from dmt_ray.recipes import load
from dmt_ray.search.helping import Helping, Part

G1 = "weight.gamma1"


def a_sweep(*seeds: int) -> Sweep:
    return Sweep("gamma_sweep", "?", load("shapes", ["percentiles=[0.5,1.0]"]), "dmt", {G1: Uniform(0, 8)}, seeds)


class Trials:
    """Trials 0 and 1 of a sweep that run, and a store."""

    def __init__(self, sweep: Sweep) -> None:
        self.sweep, self.there = sweep, set[Stage]()
        self.helping = Helping(sweep, self.there.__contains__)
        for number in (0, 1):
            self.helping.begun(number, {G1: float(number)})

    def target(self, number: int, seed: int, rung: int, side: str) -> Stage:
        return self.sweep.plans({G1: float(number)})[seed].rungs[rung][side]

    def part(self, number: int, seed: int, rung: int, side: str) -> Part:
        return Part(number, rung, self.target(number, seed, rung, side))


@pytest.fixture
def trials() -> Trials:
    """Both have reported what comes before any pseudo label."""
    trials = Trials(a_sweep(0))
    for number in (0, 1):
        trials.helping.scored(number, 0)
    return trials


def test_each_trial_keeps_its_first_model_and_the_other_one_is_given_away(trials: Trials) -> None:
    assert list(trials.helping.parts([])) == [trials.part(0, 0, 1, "B"), trials.part(1, 0, 1, "B")]


def test_the_trial_with_most_before_it_is_helped_first(trials: Trials) -> None:
    trials.helping.scored(0, 1)
    assert list(trials.helping.parts([])) == [trials.part(1, 0, 1, "B"), trials.part(0, 0, 2, "B")]


def test_what_is_taken_or_done_is_not_given_away_again(trials: Trials) -> None:
    first, second = trials.helping.parts([])
    assert list(trials.helping.parts([first])) == [second]
    trials.there.add(trials.target(1, 0, 1, "B"))
    assert list(trials.helping.parts([first])) == []


def test_what_two_trials_need_is_given_away_once(trials: Trials) -> None:
    trials.helping.begun(2, {G1: 1.0})
    trials.helping.scored(2, 0)
    assert [part.number for part in trials.helping.parts([])] == [0, 1]


def test_a_trial_whose_worker_was_lost_is_helped_from_its_first_step_on(trials: Trials) -> None:
    trials.helping.scored(0, 1)
    trials.helping.scored(0, 0)
    assert trials.part(0, 0, 1, "B") in trials.helping.parts([])


def test_nothing_is_done_for_trials_that_have_ended(trials: Trials) -> None:
    for number in (0, 1):
        trials.helping.ended(number)
    assert list(trials.helping.parts([])) == []
    assert not trials.helping.running


def test_one_part_of_each_trial_comes_before_the_second_of_any() -> None:
    trials = Trials(a_sweep(0, 1))
    for number in (0, 1):
        trials.helping.scored(number, 0)
    numbers = [part.number for part in trials.helping.parts([])]
    assert numbers == [0, 1, 0, 1, 0, 1]


def test_nothing_is_left_to_give_away_behind_the_last_step(trials: Trials) -> None:
    for step in (1, 2):
        trials.helping.scored(0, step)
    assert [part.number for part in trials.helping.parts([])] == [1]
