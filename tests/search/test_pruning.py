"""What is stopped early: rung by rung below the median of the like, seed by seed by the Wilcoxon test."""

from pathlib import Path

import optuna
import pytest

from dmt_ray.experiments.sweep import Sweep, Trial
from dmt_ray.experiments.trials import RETRY
from dmt_ray.methods.space import Integer, Uniform
from dmt_ray.recipes import load
from dmt_ray.search.pruning import MedianAtRung, least_seeds
from dmt_ray.search.study import Study

ALPHA, ITERATIONS = "dms_alpha", "schedule.iterations"
LENGTHS = {ALPHA: Uniform(0.55, 1), ITERATIONS: Integer(1, 5)}


def a_sweep(seeds: tuple[int, ...] = (0,), *, space=None, known=(), **other) -> Sweep:
    return Sweep(
        "a_search", "What?", load("shapes"), "dmt", space or {ALPHA: Uniform(0.55, 1)}, seeds, known=known, **other
    )


def perform(study: Study, scores: list[float]) -> str:
    """Perform the next trial with these scores of its steps, as far as it is let; its state."""
    study.take("any")
    for step, score in enumerate(scores):
        if study.report("any", step, score):
            break
    return study.finish("any")


# ---- rung by rung ----------------------------------------------------------------------------------------------


def test_only_trials_that_are_alike_are_compared():
    pruner = MedianAtRung(least_trials=1, first_rung=0, alike=lambda trial: trial.params["x"])
    study = optuna.create_study(pruner=pruner, direction="maximize")
    pruned = []
    for x, score in ((1, 0.9), (2, 0.1), (2, 0.05), (1, 0.5)):
        study.enqueue_trial({"x": x})
        trial = study.ask()
        trial.suggest_int("x", 1, 2)
        trial.report(score, 0)
        pruned.append(trial.should_prune())
    assert pruned == [False, False, True, True]


def test_an_earlier_attempt_at_a_trial_is_not_another_trial():
    pruner = MedianAtRung(least_trials=2, first_rung=0)
    study = optuna.create_study(pruner=pruner, direction="maximize")
    for score, attributes in ((0.9, {}), (0.1, {}), (0.1, {RETRY: 1})):
        study.enqueue_trial({}, user_attrs=attributes)
        trial = study.ask()
        trial.report(score, 0)
    assert not trial.should_prune()  # one other trial is too few


def lengths(*iterations: int) -> tuple[dict[str, float], ...]:
    return tuple({ALPHA: 0.6 + i / 100, ITERATIONS: count} for i, count in enumerate(iterations))


def test_a_short_schedule_is_not_compared_with_longer_ones(tmp_path):
    sweep = a_sweep(space=LENGTHS, known=lengths(5, 5, 5, 5, 3, 5))
    study = Study(tmp_path, sweep, 6)
    assert [perform(study, [0.2, 0.5, 0.6, 0.7, 0.8, 0.9]) for _ in range(4)] == ["complete"] * 4
    assert perform(study, [0.2, 0.3, 0.3, 0.3]) == "complete"
    assert perform(study, [0.2, 0.3, 0.3, 0.3, 0.3, 0.3]) == "pruned"
    trials = study.trials()
    assert (trials[4].score, len(trials[4].scores)) == (0.3, 4)
    assert (trials[5].state, len(trials[5].scores)) == ("pruned", 3)  # rungs 0 and 1 are never pruned


@pytest.mark.parametrize("other", [{"pruner": "none"}, {}], ids=["told not to", "two objectives"])
def test_some_searches_are_never_pruned(tmp_path, other):
    second = "" if other else "compute"
    study = Study(tmp_path, a_sweep(second=second), 6, compute=lambda params: 1.0, **other)
    for _ in range(5):
        perform(study, [0.5] * 6)
    assert perform(study, [0.1] * 6) == "complete"


# ---- seed by seed ----------------------------------------------------------------------------------------------

SEEDS = (0, 1, 2, 3, 4, 5)
BEST = [0.5, 0.6, 0.4, 0.55, 0.45, 0.5]
WORSE = [score - 0.02 - seed / 1000 for seed, score in enumerate(BEST)]


def test_seeds_that_a_trial_must_lose_on():
    # All of n seeds lost: p = 1 / 2^n. Below 0.1 from n = 4 on, and one more is then saved.
    assert (0.5**3, 0.5**4) == (0.125, 0.0625)
    assert least_seeds(0.1) == 5
    assert least_seeds(0.2) == 4
    assert least_seeds(0.0625) == 6  # 1 / 2^4 is not below it


@pytest.fixture
def seed_by_seed(tmp_path) -> Study:
    return Study(tmp_path, a_sweep(SEEDS, seed_by_seed=True), 4, pruner="wilcoxon")


def test_a_trial_that_loses_split_after_split_is_stopped(seed_by_seed):
    assert perform(seed_by_seed, BEST) == "complete"
    assert perform(seed_by_seed, WORSE) == "pruned"
    best, worse = seed_by_seed.trials()
    assert best.score == pytest.approx(0.5)
    assert len(worse.scores) == 4


def test_a_trial_that_wins_on_some_splits_goes_on(seed_by_seed):
    perform(seed_by_seed, BEST)
    assert perform(seed_by_seed, [score + (-1) ** seed / 50 for seed, score in enumerate(BEST)]) == "complete"


def test_pairs_count_and_not_levels(seed_by_seed):
    """Far worse on the first, easy split, and a little better on all others: no reason to stop."""
    perform(seed_by_seed, BEST)
    assert perform(seed_by_seed, [BEST[0] - 0.3] + [score + 0.01 for score in BEST[1:]]) == "complete"


def test_the_score_is_the_mean_over_the_seeds(seed_by_seed):
    perform(seed_by_seed, BEST)
    assert seed_by_seed._optuna.best_value == pytest.approx(0.5)
    assert seed_by_seed.trials()[0] == Trial(
        0, seed_by_seed.trials()[0].params, "complete", dict(enumerate(BEST)), seed_by_seed=True
    )


def test_an_interrupted_trial_goes_on_with_its_next_seed(tmp_path):
    sweep = a_sweep(SEEDS, seed_by_seed=True)
    killed = Study(tmp_path, sweep, 1, pruner="wilcoxon")
    number, params = killed.take("a")
    killed.report("a", 0, BEST[0])
    study = Study(tmp_path, sweep, 1, pruner="wilcoxon")
    assert study.take("b") == (number, params)
    assert not any(study.report("b", step, score) for step, score in enumerate(BEST))
    assert study.finish("b") == "complete"


def test_a_reader_knows_that_steps_are_seeds(tmp_path):
    from dmt_ray.experiments.trials import read_trials

    sweep = a_sweep(SEEDS, seed_by_seed=True)
    perform(Study(Path(tmp_path), sweep, 1, pruner="wilcoxon"), BEST)
    assert read_trials(tmp_path, sweep.name)[0].score == pytest.approx(0.5)
