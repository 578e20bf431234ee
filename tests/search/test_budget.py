"""What a search has spent over its starts, when it gains nothing more, and which points are too expensive."""

import itertools
import json
import time
from pathlib import Path

import optuna
import pytest

from dmt_ray.errors import ConfigError
from dmt_ray.execution import journal, worker
from dmt_ray.experiments.experiment_file import ExperimentFile, write
from dmt_ray.experiments.sweep import Integer, Sweep, Trial, Uniform
from dmt_ray.experiments.trials import read_trials
from dmt_ray.plan import Stage
from dmt_ray.recipes import load
from dmt_ray.search.affordable import Affordable
from dmt_ray.search.budget import NAME, Account, Budget, Gain, noise, since_gain
from dmt_ray.search.study import Study
from dmt_ray.search.warm_start import warm_started
from dmt_ray.store import Store

G1, EPOCHS = "weight.gamma1", "finetune.epochs"


def a_sweep(seeds: tuple[int, ...] = (0, 1), space: dict | None = None, question: str = "gamma", known=()) -> Sweep:
    config = load("shapes", ["percentiles=[1.0]"])
    return Sweep(question, "Which?", config, "dst", space or {G1: Uniform(0, 8)}, seeds, known)


def write_stage(store: Store, stage: Stage, seconds: float, workers: int = 1, score: float = 0.5) -> None:
    with store.write(stage, {"seconds": seconds, "workers": workers}) as folder:
        values = {"selection": {"miou": score}, "reported": {"miou": score}}
        (folder / "metrics.json").write_text(json.dumps(values))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sweep").mkdir()
    return tmp_path / "sweep"


# ---- time ------------------------------------------------------------------------------------------------------


def test_hours_of_earlier_starts_count_also_of_one_that_was_killed(folder, store, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    killed = Account(folder, store, Budget(hours=1))
    killed.__enter__()
    now[0] += 3000
    killed.tick()
    assert killed.spent() is None
    assert not (folder / "halt").exists()
    with Account(folder, store, Budget(hours=1)) as again:
        assert again.seconds == 3000
        now[0] += 600
        again.tick()
        assert again.spent() == "its 1 hour is spent; a larger --hours continues the search"
        assert (folder / "halt").exists()
    assert json.loads((folder / NAME).read_text()) == {"seconds": 3600}
    assert Account(folder, store, Budget(hours=2)).spent() is None


def test_device_hours_are_those_of_the_stages_that_were_computed(folder, store):
    first, second, other = list(a_sweep().plans({G1: 1.0})[0].stages())[:3]
    write_stage(store, first, seconds=100, workers=4)
    write_stage(store, other, seconds=9000)  # was computed for something else
    journal.note_executed(folder, 0, [first.key])
    account = Account(folder, store, Budget(device_hours=0.25))  # 900 s
    assert account.device_seconds == 400
    write_stage(store, second, seconds=500)
    account.came(second)
    account.came(first)
    assert account.device_seconds == 900
    assert account.spent() == "its 0.25 device hours are spent; a larger --device-hours continues the search"


def test_device_hours_of_a_start_that_was_killed_count(folder, store):
    first, second = list(a_sweep().plans({G1: 1.0})[0].stages())[:2]
    for trial, stage in enumerate((first, second)):  # each noted by its worker; the driver wrote nothing
        write_stage(store, stage, seconds=300)
        journal.note_executed(folder, trial, [stage.key])
    assert Account(folder, store, Budget(device_hours=1)).device_seconds == 600


def test_what_a_confirmation_runs_is_not_counted(folder, store):
    first, second = list(a_sweep().plans({G1: 1.0})[0].stages())[:2]
    for stage, place in ((first, folder), (second, folder / "confirm")):
        place.mkdir(exist_ok=True)
        write_stage(store, stage, seconds=300)
        journal.note_executed(place, 0, [stage.key])
    assert Account(folder, store, Budget(device_hours=1)).device_seconds == 300


def test_a_trial_begins_no_stage_once_the_budget_is_spent(folder):
    stage = next(iter(a_sweep().plans({G1: 1.0})[0].stages()))
    worker._begun_unless_halted(folder, 3, 1, stage)
    journal.halt(folder)
    with pytest.raises(journal.Halted):
        worker._begun_unless_halted(folder, 3, 1, stage)
    worker._begun_unless_halted(folder, "shared", None, stage)  # which the driver deals out one by one
    journal.go_on(folder)
    worker._begun_unless_halted(folder, 3, 1, stage)


def test_a_trial_that_was_halted_is_taken_up_again(folder):
    sweep = a_sweep(seeds=(0,))
    study = Study(folder, sweep, 2)
    number, params = study.take("a") or (None, None)
    study.report("a", 0, 0.5)
    assert study.finish("a") == "running"
    again = Study(folder, sweep, 2)
    assert again.interrupted
    assert again.take("b") == (number, params)


# ---- gains -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "since"),
    [
        pytest.param([0.50, 0.51, 0.52], 2, id="less than the margin"),
        pytest.param([0.50, 0.53, 0.52], 1, id="a gain"),
        pytest.param([0.50, 0.515, 0.53], 0, id="small gains add up"),
        pytest.param([0.50, None, None, 0.49], 3, id="pruned trials gain nothing"),
        pytest.param([None, 0.50], 0, id="the first score is a gain"),
    ],
)
def test_trials_since_the_last_gain(scores, since):
    assert since_gain(scores, margin=0.025) == since


def test_noise_is_the_pooled_error_of_all_trials_over_their_seeds():
    # Residuals of (1 3), (2 2): -+.5, so that s^2 = 4 * .25 / 1 = 1; t[.975; 1] = 12.706, times sqrt(2 / 2)
    assert noise([[1.0, 3.0], [2.0, 2.0]]) == pytest.approx(12.706, abs=0.001)
    assert noise([[1.0, 3.0]]) is None


def test_a_search_is_flat_when_the_last_trials_gained_less_than_noise(store):
    sweep, trials = a_sweep(), []
    for number, (a, b) in enumerate([(0.40, 0.42), (0.50, 0.521), (0.501, 0.520), (0.499, 0.522)]):
        params = {G1: float(number)}
        trials.append(Trial(number, params, "complete", {0: (a + b) / 2}))
        for score, plan in zip((a, b), sweep.plans(params).values(), strict=True):
            for evaluation in plan.rungs[-1].values():
                write_stage(store, evaluation, 1, score=score)
    assert Gain(sweep, store, 2).flat(trials[:3]) is None
    assert "2 trials in a row gained less than the noise of 0." in (Gain(sweep, store, 2).flat(trials) or "")
    assert Gain(sweep, store, 3).flat(trials) is None


# ---- expensive points ------------------------------------------------------------------------------------------


def epochs(params) -> float:
    return 100.0 * params[EPOCHS]


def test_points_beyond_the_limit_are_not_tried(folder):
    sweep = a_sweep(seeds=(0,), space={EPOCHS: Integer(1, 9)}, known=({EPOCHS: 8}, {EPOCHS: 3}))
    study = Study(folder, sweep, 6, sampler="random", compute=epochs, limit=350)
    taken = []
    for i in range(6):
        taken.append(study.take(str(i)))
        study.report(str(i), 0, 0.5)
        study.report(str(i), 1, 0.5)
        assert study.finish(str(i)) == "complete"
    # The first known point is too expensive; no other one is tried again before all three were.
    assert taken[0][1] == {EPOCHS: 3}
    assert sorted(params[EPOCHS] for _, params in taken[:3]) == [1, 2, 3]
    assert all(params[EPOCHS] <= 3 for _, params in taken)
    assert study.take("more") is None
    trials = read_trials(folder, sweep.name)
    assert [trial.number for trial in trials] == [number for number, _ in taken]
    assert Study(folder, sweep, 7, compute=epochs, limit=350).remaining == 1


def test_a_sampler_that_sticks_to_expensive_points_gets_a_random_one(folder, monkeypatch):
    sweep = a_sweep(seeds=(0,), space={EPOCHS: Integer(1, 9)})
    monkeypatch.setattr("dmt_ray.search.study.PROPOSALS", 0)
    study = Study(folder, sweep, 1, compute=epochs, limit=100)
    assert study.take("a")[1] == {EPOCHS: 1}


def test_points_that_keep_a_limit_may_be_too_rare_to_be_drawn_again():
    counts = itertools.chain([350], itertools.repeat(400))
    affordable = Affordable(a_sweep(), lambda params: next(counts), limit=350)
    assert affordable.draw() == affordable.draw()


def test_a_point_beyond_the_limit_is_not_taken_up_after_a_kill_before_it_was_closed(folder, monkeypatch):
    sweep = a_sweep(seeds=(0,), space={EPOCHS: Integer(1, 4)}, known=({EPOCHS: 4},))
    study = Study(folder, sweep, 1, compute=epochs, limit=350)
    monkeypatch.setattr(optuna.Study, "tell", interrupt)
    with pytest.raises(KeyboardInterrupt):
        study.take("any")
    monkeypatch.undo()
    again = Study(folder, sweep, 1, compute=epochs, limit=350)
    assert not again.interrupted
    assert again.take("any")[1][EPOCHS] < 4


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_a_limit_that_no_point_keeps_is_said_at_once(folder):
    sweep = a_sweep(seeds=(0,), space={EPOCHS: Integer(2, 9)})
    with pytest.raises(ConfigError, match="leaves no point to try: of 300 random points the cheapest takes 200"):
        Study(folder, sweep, 1, compute=epochs, limit=150)


# ---- warm starts -----------------------------------------------------------------------------------------------


def an_earlier_sweep(storage: Path, question: str, scores: dict[float, float], space: dict | None = None) -> None:
    sweep = a_sweep((0,), space, question, tuple({G1: gamma} for gamma in scores))
    file = ExperimentFile(sweep, storage, trials=len(scores))
    write(file.folder, file)
    study = Study(file.folder, sweep, len(scores))
    for gamma in scores:
        token = str(gamma)
        study.take(token)
        study.report(token, 0, 0.1)
        study.report(token, 1, scores[gamma])
        study.finish(token)


def test_a_warm_start_tries_the_best_points_of_each_earlier_search_first(tmp_path):
    an_earlier_sweep(tmp_path, "one", {1.0: 0.3, 2.0: 0.5, 3.0: 0.4, 4.0: 0.2})
    an_earlier_sweep(tmp_path, "two", {5.0: 0.6, 2.0: 0.7})
    an_earlier_sweep(tmp_path, "other_space", {7.0: 0.9}, {G1: Uniform(0, 9)})
    sweep = warm_started(a_sweep(known=({G1: 0.5},)), tmp_path)
    assert [point[G1] for point in sweep.known] == [0.5, 2.0, 3.0, 5.0, 1.0]


def test_a_sweep_that_has_begun_keeps_the_points_that_it_began_with(tmp_path):
    an_earlier_sweep(tmp_path, "one", {1.0: 0.3})
    begun = warm_started(a_sweep(), tmp_path)
    file = ExperimentFile(begun, tmp_path, trials=3)
    write(file.folder, file)
    an_earlier_sweep(tmp_path, "two", {6.0: 0.9})
    assert warm_started(a_sweep(), tmp_path).known == begun.known == ({G1: 1.0},)


def test_a_damaged_study_of_another_search_is_no_reason_to_refuse_a_warm_start(tmp_path):
    an_earlier_sweep(tmp_path, "one", {1.0: 0.3})
    an_earlier_sweep(tmp_path, "two", {5.0: 0.6})
    (damaged,) = (tmp_path / "sweeps").glob("two*/study.db")
    damaged.write_text("this is no database")
    assert warm_started(a_sweep(), tmp_path).known == ({G1: 1.0},)
