"""At the end of a search workers without a trial take what the last trials need, and leave each trial its own part."""

import pytest

from dmt_ray.experiments.sweep import Sweep, Uniform
from dmt_ray.plan import Stage
from dmt_ray.recipes import load
from dmt_ray.search.helping import START_SECONDS, Helping, Part

G1 = "weight.gamma1"
CURVE = ["percentiles=[0.5,1.0]"]


def a_sweep(*seeds: int, changes: tuple[str, ...] = (), **more: bool) -> Sweep:
    return Sweep("gamma_sweep", "?", load("shapes", [*CURVE, *changes]), "dmt", {G1: Uniform(0, 8)}, seeds, **more)


class Trials:
    """Trials 0 and 1 of a sweep, which have been at their first step for long, and a store that holds rung 0."""

    def __init__(self, sweep: Sweep) -> None:
        self.sweep, self.there, self.now = sweep, set[Stage](), 0.0
        self.helping = Helping(sweep, self.there.__contains__, lambda: self.now)
        for number in (0, 1):
            self.helping.begun(number, {G1: float(number)})
        self.there |= {self.target(0, seed, 0, side) for seed in sweep.seeds for side in "AB"}
        self.now = START_SECONDS

    def scored(self, number: int, step: int) -> None:
        """A trial reports a step; after that it goes on for long."""
        self.helping.scored(number, step)
        self.now += START_SECONDS

    def target(self, number: int, seed: int, rung: int, side: str) -> Stage:
        return self.sweep.plans({G1: float(number)})[seed].rungs[rung][side]

    def part(self, number: int, seed: int, rung: int, side: str) -> Part:
        return Part(number, rung, self.target(number, seed, rung, side))


def begun(sweep: Sweep) -> Trials:
    """Both have reported what comes before any pseudo label."""
    trials = Trials(sweep)
    for number in (0, 1):
        trials.scored(number, 0)
    return trials


@pytest.fixture
def trials() -> Trials:
    return begun(a_sweep(0))


def test_each_trial_keeps_its_first_model_and_the_other_one_is_given_away(trials: Trials) -> None:
    assert trials.helping.give(9) == [trials.part(0, 0, 1, "B"), trials.part(1, 0, 1, "B")]


def test_the_trial_with_most_before_it_is_helped_first(trials: Trials) -> None:
    trials.scored(0, 1)
    assert trials.helping.give(9) == [trials.part(1, 0, 1, "B"), trials.part(0, 0, 2, "B")]


def test_no_more_is_given_away_than_there_are_workers(trials: Trials) -> None:
    given = [trials.helping.give(workers) for workers in (0, -1, 1, 1, 1)]
    assert [[part.number for part in parts] for parts in given] == [[], [], [0], [1], []]


def test_nothing_is_given_away_twice_even_if_it_is_not_done(trials: Trials) -> None:
    assert len(trials.helping.give(9)) == 2
    assert trials.helping.give(9) == []


def test_what_is_done_is_not_given_away(trials: Trials) -> None:
    trials.there.add(trials.target(1, 0, 1, "B"))
    assert [part.number for part in trials.helping.give(9)] == [0]


def test_what_a_trial_is_at_is_not_given_away(trials: Trials) -> None:
    trials.there |= {trials.target(number, 0, 1, "A") for number in (0, 1)}
    assert trials.helping.give(9) == []


def test_what_two_trials_need_is_given_away_once(trials: Trials) -> None:
    trials.helping.begun(2, {G1: 1.0})
    trials.scored(2, 0)
    assert [part.number for part in trials.helping.give(9)] == [0, 1]


def test_a_step_that_is_over_sooner_than_a_worker_starts_is_not_helped(trials: Trials) -> None:
    trials.helping.scored(0, 1)
    trials.now += START_SECONDS - 1
    assert trials.helping.give(9) == [trials.part(1, 0, 1, "B")]
    trials.now += 1
    assert trials.helping.give(9) == [trials.part(0, 0, 2, "B")]


def test_a_trial_whose_worker_was_lost_is_helped_from_its_first_step_on(trials: Trials) -> None:
    trials.scored(0, 1)
    trials.scored(0, 0)
    assert trials.part(0, 0, 1, "B") in trials.helping.give(9)


def test_nothing_is_done_for_trials_that_have_ended(trials: Trials) -> None:
    for number in (0, 1):
        trials.helping.ended(number)
    assert trials.helping.give(9) == []
    assert not trials.helping.running


def test_one_part_of_each_trial_comes_before_the_second_of_any() -> None:
    trials = begun(a_sweep(0, 1))
    parts = trials.helping.give(9)
    assert [part.number for part in parts] == [0, 1, 0, 1, 0, 1]
    assert [trials.part(0, seed, 1, side) for seed, side in ((1, "B"), (1, "A"), (0, "B"))] == parts[::2]


def test_seed_by_seed_the_models_of_one_seed_are_helped_and_no_later_seed_is_begun() -> None:
    trials = Trials(a_sweep(0, 1, seed_by_seed=True))
    assert trials.helping.give(9) == [Part(n, 0, trials.target(n, 0, 1, "B")) for n in (0, 1)]


def test_models_that_wait_for_each_other_are_left_to_the_trial() -> None:
    assert begun(a_sweep(0, changes=("order=sequential",))).helping.give(9) == []


def test_what_scores_both_models_together_is_left_to_the_trial() -> None:
    trials = begun(a_sweep(0, changes=("ensemble=true",)))
    for number in (0, 1):
        trials.scored(number, 1)
    assert trials.sweep.plans({G1: 0.0})[0].ensemble is not None
    assert trials.helping.give(9) == [trials.part(0, 0, 2, "B"), trials.part(1, 0, 2, "B")]


def test_nothing_is_left_to_give_away_behind_the_last_step(trials: Trials) -> None:
    for step in (1, 2):
        trials.scored(0, step)
    assert [part.number for part in trials.helping.give(9)] == [1]
