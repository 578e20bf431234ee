"""A sweep as a value, and its memory on disk. No Ray, no torch: what is asserted is what Optuna's study holds."""

import multiprocessing
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from dmt_ray.errors import ConfigError, UserError
from dmt_ray.execution.journal import executed, is_running, locked, note_executed
from dmt_ray.experiments import experiment_file
from dmt_ray.experiments.experiment_file import ExperimentFile
from dmt_ray.experiments.reproduce import of_trial
from dmt_ray.experiments.sweep import Sweep, Trial, Uniform
from dmt_ray.experiments.trials import best, newest_attempt, ranked, read_trials
from dmt_ray.recipes import load
from dmt_ray.search.study import Study

G1, G2 = "weight.gamma1", "weight.gamma2"
SPACE = {G1: Uniform(0, 8, step=0.25), G2: Uniform(0, 8, step=0.25)}
PAPER = {G1: 5.0, G2: 5.0}


def a_sweep(*changes: str, seeds: tuple[int, ...] = (0,), known: tuple = (PAPER,), grid: int = 0, **other) -> Sweep:
    config = load("shapes", changes)
    settings = {"question": "gamma_sweep", "title": "Which gamma?", "method": "dmt", "space": SPACE} | other
    return Sweep(config=config, seeds=seeds, known=known, grid=grid, **settings)


# ---- the sweep as a value --------------------------------------------------------------------------------------


def test_the_name_of_a_sweep_does_not_change_with_the_searched_settings():
    assert a_sweep("weight.gamma1=2", known=()).name == a_sweep("weight.gamma2=7").name


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"seeds": (0, 1)}, id="seeds"),
        pytest.param({"grid": 3}, id="grid"),
        pytest.param({"space": SPACE | {G1: Uniform(0, 6)}}, id="space"),
        pytest.param({"method": "dst"}, id="method"),
        pytest.param({"question": "other"}, id="question"),
    ],
)
def test_another_question_has_another_name(other):
    assert a_sweep(**other).name != a_sweep().name


def test_another_setting_makes_another_sweep():
    assert a_sweep("finetune.epochs=2").name != a_sweep().name


def test_a_name_can_be_a_folder():
    assert "/" not in Sweep("gamma_sweep", "", load("voc-1/20"), "dmt", SPACE, (0,)).name


def test_all_trials_share_what_comes_before_the_first_weighted_step():
    common = a_sweep(seeds=(0, 1)).common()
    assert sorted((stage.operation.name, stage.seed) for stage in common) == sorted(
        (name, seed) for seed in (0, 1) for name in ("pretrain", "evaluate", "label") for _ in "AB"
    )


def test_every_seed_has_its_plan():
    plans = a_sweep(seeds=(0, 3)).plans({G1: 1, G2: 2})
    assert {seed: {stage.seed for stage in plan.stages()} for seed, plan in plans.items()} == {0: {0}, 3: {3}}


def test_a_grid_holds_all_pairs():
    assert [tuple(point.values()) for point in a_sweep(grid=3).points()] == [
        (a, b) for a in (0, 4, 8) for b in (0, 4, 8)
    ]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        pytest.param(lambda: a_sweep(known=({G1: 9, G2: 5},)), "must lie in the space", id="known point outside"),
        pytest.param(
            lambda: a_sweep("weight.rule=uniform"), "uniform. reads no numbers", id="numbers that no rule reads"
        ),
        pytest.param(lambda: a_sweep(method="cbst"), "change nothing", id="a method that reads no exponents"),
        pytest.param(
            lambda: a_sweep(space={"weight.gama": Uniform(0, 1)}, known=()), "did you mean", id="misspelt setting"
        ),
        pytest.param(lambda: a_sweep(seeds=(1, 1)), "distinct seeds", id="a seed twice"),
        pytest.param(lambda: a_sweep(grid=1), "at least 2", id="grid of one"),
        pytest.param(lambda: a_sweep(method="dmmt"), "no method", id="unknown method"),
        pytest.param(lambda: Uniform(3, 3), "lower and an upper", id="empty range"),
    ],
)
def test_what_cannot_be_searched_is_refused(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


def test_a_sweep_can_be_read_back(tmp_path):
    sweep = a_sweep("finetune.epochs=2", seeds=(0, 1))
    changes = ("finetune.epochs=2",)
    written = ExperimentFile(sweep, tmp_path, Path("data"), "shapes", changes, 12, {"classes": ["sky"]})
    experiment_file.write(tmp_path, written)
    assert experiment_file.read(tmp_path) == written


def test_a_sweep_file_that_is_none_is_said(tmp_path):
    (tmp_path / "sweep.json").write_text("{}")
    with pytest.raises(UserError, match=r"sweep\.json does not describe an experiment"):
        experiment_file.read(tmp_path)


# ---- its memory ------------------------------------------------------------------------------------------------


def perform(study: Study, token: str, scores: list[float], error: str | None = None) -> int:
    taken = study.take(token)
    assert taken is not None
    for rung, score in enumerate(scores):
        if study.report(token, rung, score):
            break
    study.finish(token, error)
    return taken[0]


def states(folder: Path, sweep: Sweep) -> dict[int, str]:
    return {trial.number: trial.state for trial in read_trials(folder, sweep.name)}


@pytest.fixture
def sweep() -> Sweep:
    return a_sweep("percentiles=[0.5,0.75,1.0]")


SCORES = [0.2, 0.3, 0.4, 0.5]


def test_known_points_come_first_and_only_once(tmp_path, sweep):
    first = Study(tmp_path, sweep, 3)
    assert first.take("a") == (0, PAPER)
    first.finish("a", "stopped")
    again = Study(tmp_path, sweep, 3)  # the failed one is tried again, the known point is not added again
    assert again.take("b") == (0, PAPER)
    assert again.take("c")[1] != PAPER


def test_a_study_ends_after_its_trials(tmp_path, sweep):
    study = Study(tmp_path, sweep, 2)
    assert [perform(study, token, SCORES) for token in "ab"] == [0, 1]
    assert (study.remaining, study.take("c")) == (0, None)
    assert Study(tmp_path, sweep, 2).take("d") is None
    assert Study(tmp_path, sweep, 3).remaining == 1


def test_a_score_counts_from_the_last_rung_on(tmp_path, sweep):
    study = Study(tmp_path, sweep, 1)
    perform(study, "a", SCORES)
    (trial,) = study.trials()
    assert (trial.state, trial.score, trial.scores) == ("complete", 0.5, dict(enumerate(SCORES)))


def test_an_interrupted_trial_goes_on_in_place(tmp_path, sweep):
    killed = Study(tmp_path, sweep, 2)
    perform(killed, "a", SCORES)
    number, params = killed.take("b")
    killed.report("b", 0, 0.2)
    killed.report("b", 1, 0.3)

    study = Study(tmp_path, sweep, 2)
    assert study.take("c") == (number, params)
    for rung, score in enumerate([0.2, 0.3, 0.35, 0.45]):  # it reports its first rungs once more
        assert not study.report("c", rung, score)
    assert study.finish("c") == "complete"
    assert states(tmp_path, sweep) == {0: "complete", 1: "complete"}
    assert study.trials()[1].scores == {0: 0.2, 1: 0.3, 2: 0.35, 3: 0.45}


def test_a_trial_that_was_killed_before_its_point_was_drawn_goes_on_too(tmp_path, sweep):
    study = Study(tmp_path, sweep, 1)
    study._optuna.ask()
    assert perform(Study(tmp_path, sweep, 1), "a", SCORES) == 0
    assert states(tmp_path, sweep) == {0: "complete"}


def test_a_trial_that_was_only_stopped_stays_to_be_taken_up(tmp_path, sweep):
    study = Study(tmp_path, sweep, 1)
    study.take("a")
    study.report("a", 0, 0.2)
    assert study.finish("a") == "running"
    assert Study(tmp_path, sweep, 1).remaining == 1


def test_a_failed_trial_is_tried_again_under_its_number(tmp_path, sweep):
    study = Study(tmp_path, sweep, 3)
    perform(study, "a", SCORES)
    perform(study, "b", [0.2], error="loss is not a number")
    perform(study, "c", SCORES)
    assert study.remaining == 0  # not again in the same run
    assert study.trials()[1].error == "loss is not a number"
    failed = study.trials()[1].params

    again = Study(tmp_path, sweep, 3)
    assert again.remaining == 1
    assert again.take("d") == (1, failed)
    for rung, score in enumerate(SCORES):
        again.report("d", rung, score)
    again.finish("d")
    assert states(tmp_path, sweep) == {0: "complete", 1: "complete", 2: "complete"}
    assert Study(tmp_path, sweep, 3).remaining == 0


def test_a_hopeless_trial_is_pruned_but_not_in_its_first_rungs(tmp_path, sweep):
    study = Study(tmp_path, sweep, 5)
    for token in "abcd":
        perform(study, token, SCORES)
    study.take("e")
    assert [study.report("e", rung, 0.1) for rung in range(3)] == [False, False, True]
    assert study.finish("e") == "pruned"
    assert study.trials()[4].state == "pruned"
    assert optuna.load_study(study_name=sweep.name, storage=f"sqlite:///{tmp_path / 'study.db'}").best_value == 0.5


def test_a_good_rung_zero_which_all_trials_share_saves_nobody(tmp_path, sweep):
    study = Study(tmp_path, sweep, 5)
    for token in "abcd":
        perform(study, token, [0.9, 0.2, 0.3, 0.4])
    study.take("e")
    assert [study.report("e", rung, score) for rung, score in enumerate([0.9, 0.1, 0.2])] == [False, False, True]


def test_a_trial_that_is_not_below_the_median_goes_on(tmp_path, sweep):
    study = Study(tmp_path, sweep, 5)
    for token, score in zip("abcd", (0.1, 0.3, 0.5, 0.7), strict=True):
        perform(study, token, [0.9, score, score, score])
    study.take("e")
    assert not any(study.report("e", rung, 0.4) for rung in range(3))  # the median itself


def test_a_trial_that_was_to_be_pruned_when_the_sweep_was_killed_is_pruned_later(tmp_path, sweep):
    study = Study(tmp_path, sweep, 5)
    for token in "abcd":
        perform(study, token, SCORES)
    study.take("e")
    assert [study.report("e", rung, 0.1) for rung in range(3)][-1]
    again = Study(tmp_path, sweep, 5)  # killed between the decision and the note
    again.take("f")
    assert [again.report("f", rung, 0.1) for rung in range(3)] == [False, False, True]
    assert again.finish("f") == "pruned"


def test_a_grid_is_never_pruned(tmp_path):
    sweep = a_sweep("percentiles=[0.5,0.75,1.0]", grid=3)
    study = Study(tmp_path, sweep, 9)
    for token in "abcd":
        perform(study, token, SCORES)
    for token in "efghi":
        perform(study, token, [0.01] * 4)
    assert set(states(tmp_path, sweep).values()) == {"complete"}
    assert sorted(tuple(t.params.values()) for t in study.trials()) == sorted(tuple(p.values()) for p in sweep.points())


def test_a_second_start_does_not_propose_the_points_of_the_first_again(tmp_path):
    sweep = a_sweep(known=())
    first = Study(tmp_path, sweep, 8)
    points = [first.take(str(i))[1] for i in range(4)]
    for i in range(4):
        first.finish(str(i), "failed")
    more = Study(tmp_path, a_sweep(known=()), 8)
    later = [more.take(f"later {i}") for i in range(8)]
    new = [params for number, params in later if number >= 4]
    assert len(new) == 4
    assert all(params not in points for params in new)


def test_values_are_round(tmp_path):
    study = Study(tmp_path, a_sweep(known=()), 6)
    assert all(value % 0.25 == 0 for i in range(6) for value in study.take(str(i))[1].values())


def test_what_a_trial_computed_is_remembered_over_its_attempts(tmp_path, sweep):
    a, b, c, d = (letter * 20 for letter in "abcd")
    note_executed(tmp_path, 0, [a, b])
    note_executed(tmp_path, 0, [c])
    note_executed(tmp_path, "shared", [d])
    study = Study(tmp_path, sweep, 1)
    study.take("x")
    assert study.trials()[0].executed == (a, b, c)
    assert executed(tmp_path, "shared") == (d,)


def _hold(folder: Path, held, go) -> None:
    with locked(folder):
        held.set()
        go.wait(20)


def test_two_processes_cannot_run_the_same_sweep(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    held, go = spawn.Event(), spawn.Event()
    other = spawn.Process(target=_hold, args=(tmp_path, held, go))
    other.start()
    try:
        assert held.wait(20)
        assert is_running(tmp_path)
        with pytest.raises(UserError, match=f"process {other.pid} on .* is already running this"), locked(tmp_path):
            pass
    finally:
        go.set()
        other.join()
    assert not is_running(tmp_path)


def test_a_fresh_start_leaves_the_old_study_alone(tmp_path, sweep):
    names = []
    for _ in range(3):
        new = newest_attempt(tmp_path, sweep, fresh=True)
        with locked(tmp_path / new.name):
            perform(Study(tmp_path / new.name, new, 1), "a", SCORES)
        experiment_file.write(tmp_path / new.name, ExperimentFile(new, tmp_path.parent))
        names.append(new.name)
    assert names == [sweep.name, f"{sweep.name}-2", f"{sweep.name}-3"]
    assert newest_attempt(tmp_path, sweep, fresh=False).name == f"{sweep.name}-3"
    assert states(tmp_path / sweep.name, sweep) == {0: "complete"}


def test_a_fresh_start_that_was_refused_leaves_the_old_search_the_newest(tmp_path, sweep):
    experiment_file.write(tmp_path / sweep.name, ExperimentFile(sweep, tmp_path.parent))
    for _ in range(2):
        refused = newest_attempt(tmp_path, sweep, fresh=True)
        assert refused.name == f"{sweep.name}-2"
        with locked(tmp_path / refused.name):
            Study(tmp_path / refused.name, refused, 1)  # and no more: the cluster had no room
        assert newest_attempt(tmp_path, sweep, fresh=False).name == sweep.name


# ---- its summary -----------------------------------------------------------------------------------------------


def a_trial(number: int, state: str, *scores: float) -> Trial:
    return Trial(number, {G1: 5.0, G2: 2.5}, state, dict(enumerate(scores)))


def test_a_pruned_trial_is_never_the_best():
    trials = [a_trial(0, "pruned", 0.1, 0.9), a_trial(1, "complete", 0.1, 0.2, 0.3), a_trial(2, "complete", 0, 0, 0.4)]
    assert [trial.number for trial in ranked(trials)] == [2, 1, 0]
    assert best(trials) == trials[2]
    assert best(trials[:1]) is None


def test_a_trial_is_replayed_by_one_command():
    file = ExperimentFile(a_sweep(), Path("my runs"), recipe="shapes", changes=("finetune.epochs=2",))
    assert of_trial(file, a_trial(0, "complete", 0.5)) == (
        "dmt run --recipe shapes --method dmt --set finetune.epochs=2 --set weight.gamma1=5.0 --set weight.gamma2=2.5 "
        "--storage 'my runs' --seed 0"
    )
    several = of_trial(replace(file, experiment=a_sweep(seeds=(0, 2))), a_trial(0, "complete", 0.5))
    assert several.startswith("for seed in 0 2; do dmt run ")
    assert several.endswith(" --seed $seed; done")
