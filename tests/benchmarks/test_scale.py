"""A thousand trials: what the driver does grows with the trials, and not with their square. Counted, not timed."""

import importlib
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from rich.console import Console

from dmt_ray.cli import sweep_cost
from dmt_ray.config import Config
from dmt_ray.execution.cost import Effort, Work
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.experiments.experiment_file import ExperimentFile
from dmt_ray.experiments.sweep import Sweep, Trial, Uniform
from dmt_ray.experiments.trials import read_trials
from dmt_ray.plan import Plan, Stage
from dmt_ray.recipes import load
from dmt_ray.report.publishing import of_sweep
from dmt_ray.search.progress import SweepProgress
from dmt_ray.search.pruning import MedianAtRung
from dmt_ray.search.study import Study
from dmt_ray.store import Store
from dmt_ray.tracking import Mirror, connect
from dmt_ray.tracking.publish import publish
from tests.helpers.paths import ROOT

G1, G2 = "weight.gamma1", "weight.gamma2"
SPACE = {G1: Uniform(0, 8), G2: Uniform(0, 8)}
NOWHERE = Console(file=None, quiet=True)


class CountingSweep(Sweep):
    """Counts the plans that are made of it."""

    plans_made = 0

    def plans(self, params) -> dict[int, Plan]:  # type: ignore[no-untyped-def]
        CountingSweep.plans_made += 1
        return super().plans(params)


class CountingStore(Store):
    """Counts its look-ups."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.asked: Counter[str] = Counter()

    def has(self, stage: Stage, *, files: bool = False) -> bool:
        self.asked["has"] += 1
        return super().has(stage, files=files)

    def records(self):  # type: ignore[no-untyped-def]
        self.asked["records"] += 1
        return super().records()


class Measure:
    """In place of a runner: every stage is ten steps."""

    calls = 0

    def work_of(self, stage: Stage) -> int:
        self.calls += 1
        return 10


def a_sweep(config: Config | None = None, grid: int = 0, kind: type[Sweep] = Sweep) -> Sweep:
    config = config or load("shapes")
    return kind("gamma_sweep", "Which gamma?", config, "dmt", SPACE, (0,), ({G1: 5.0, G2: 5.0},), grid)


@pytest.fixture
def store(tmp_path: Path) -> CountingStore:
    return CountingStore(tmp_path / "runs")


def fill(store: Store, stages: list[Stage]) -> None:
    for stage in stages:
        with store.write(stage, {"seconds": 1.0, "steps": 10}) as folder:
            (folder / "file").write_text("text")


# ---- the dry run -----------------------------------------------------------------------------------------------


def cost_of_a_dry_run(store: CountingStore, grid: int, trials: int) -> tuple[int, int, int]:
    """Plans made, stages measured, times that all records were read."""
    sweep, measure, CountingSweep.plans_made = a_sweep(grid=grid, kind=CountingSweep), Measure(), 0
    store.asked.clear()
    sweep_cost.describe(NOWHERE, sweep, store, measure.work_of, trials)
    return CountingSweep.plans_made, measure.calls, store.asked["records"]


def test_a_dry_run_reads_the_records_once_and_makes_a_plan_for_each_point(store):
    small, large = cost_of_a_dry_run(store, 4, 16), cost_of_a_dry_run(store, 8, 64)
    assert large[0] - small[0] == 64 - 16
    assert large[1] == small[1]
    assert large[2] == small[2] == 1


def test_a_thousand_trials_are_estimated_as_one_is(store, capsys):
    sweep = a_sweep()
    console = Console(width=400)
    sweep_cost.describe(console, sweep, store, Measure().work_of, 1000)
    # 6 shared stages, 28 of each trial: 2 + 10 of them train.
    assert "at most 28,006 stages, 100,020 optimizer steps" in capsys.readouterr().out


@pytest.mark.slow
def test_planning_a_grid_of_a_thousand_points_takes_seconds(store):
    began = time.thread_time()
    sweep_cost.describe(NOWHERE, a_sweep(grid=32), store, Measure().work_of, 1024)
    assert time.thread_time() - began < 30


def test_stages_are_measured_once_where_their_settings_say_they_are_the_same():
    sweep, measure = a_sweep(), Measure()
    work = Work(measure.work_of)
    stages = [stage for g in range(5) for stage in sweep.plans({G1: g, G2: 1})[0].stages()]
    assert {work(stage) for stage in stages} == {10}
    # Two pretrainings, one for each side; and a labelling, a fine-tuning and an evaluation for all.
    assert measure.calls == 5


def test_another_schedule_is_measured_anew():
    measure = Measure()
    work = Work(measure.work_of)
    for epochs in (1, 2):
        plan = a_sweep(load("shapes", [f"finetune.epochs={epochs}"])).plans({G1: 1, G2: 1})[0]
        work(next(stage for stage in plan.stages() if stage.operation.name == "finetune"))
    assert measure.calls == 2


# ---- while it runs ---------------------------------------------------------------------------------------------


def a_progress(store: Store, trials: int) -> tuple[SweepProgress, Sweep]:
    sweep = a_sweep()
    fill(store, sweep.common())
    progress = SweepProgress(NOWHERE, store, Effort(Measure().work_of), sweep, [], trials)
    for number in range(trials):
        progress.begun(number, {G1: number / 10, G2: 1.0})
    return progress, sweep


def test_progress_asks_only_for_what_can_have_come(store):
    progress, _ = a_progress(store, 7)
    store.asked.clear()
    progress._measure()
    assert store.asked["has"] == 2 * 7  # of 28 missing stages of a trial, the fine-tunings of A and B are next


def test_progress_finds_all_that_has_come_at_once(store):
    progress, sweep = a_progress(store, 1)
    plan = sweep.plans({G1: 0.0, G2: 1.0})[0]
    new = [stage for stage in plan.stages() if not store.has(stage)]
    fill(store, new[:-1])
    progress._measure()
    assert list(progress.pending(0)) == new[-1:]


def test_the_pruner_reads_the_study_once(monkeypatch):
    study = optuna.create_study(pruner=MedianAtRung(least_trials=1, first_rung=0), direction="maximize")
    read = []
    monkeypatch.setattr(study, "get_trials", lambda **_: read.append(1) or [])
    pruned = []
    for score in (0.5, 0.4, 0.6):
        trial = study.ask()
        trial.report(score, 0)
        pruned.append(trial.should_prune())
    assert (pruned, len(read)) == ([False, True, False], 1)


def test_points_of_a_grid_enter_the_study_one_by_one(tmp_path):
    study = Study(tmp_path, a_sweep(grid=4), 16)
    points = [study.take(str(i))[1] for i in range(5)]
    assert points == a_sweep(grid=4).points()[:5]
    assert len(study._optuna.get_trials(deepcopy=False)) == 5


def test_a_grid_goes_on_with_its_next_point(tmp_path):
    first = Study(tmp_path, a_sweep(grid=3), 9)
    for token in "ab":
        first.take(token)
        first.finish(token, "its worker was lost")
    again = Study(tmp_path, a_sweep(grid=3), 9)
    taken = [again.take(str(i)) for i in range(9)]
    assert [point for _, point in taken] == a_sweep(grid=3).points()
    assert again.take("none left") is None


def test_a_trial_that_has_ended_is_read_once(tmp_path):
    sweep = a_sweep()
    study = Study(tmp_path, sweep, 2)
    for token in "ab":
        study.take(token)
    study.finish("a", "failed")
    before, after = (read_trials(tmp_path, sweep.name) for _ in range(2))
    assert (before[0] is after[0], before[1] is after[1]) == (True, False)


# ---- publishing ------------------------------------------------------------------------------------------------


class CountingClient:
    """An MLflow client whose calls, and the runs that it returns, are counted."""

    def __init__(self, client: object) -> None:
        self._client = client
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str):  # type: ignore[no-untyped-def]
        def call(*args, **kwargs):  # type: ignore[no-untyped-def]
            found = getattr(self._client, name)(*args, **kwargs)
            self.calls[name] += 1
            self.calls["runs that were read"] += len(found) if name == "search_runs" else 0
            return found

        return call


def calls_of_the_next_publication(mirror: Mirror, store: Store, trials: int) -> Counter[str]:
    """Publish so many trials, and then one more; the MLflow calls of the second time."""
    sweep = replace(a_sweep(), question=f"after-{trials}")
    file = ExperimentFile(sweep, store.folder, recipe="shapes", trials=trials, dataset_info=DatasetInfo().to_json())
    done = [Trial(n, {G1: n / 10, G2: 1.0}, "failed", {}, "it failed") for n in range(trials + 1)]
    publish(mirror, of_sweep(store.folder, file, store, "running", done[:trials]))
    client = mirror.client
    counting = mirror.client = CountingClient(client)  # type: ignore[assignment]
    publish(mirror, of_sweep(store.folder, file, store, "running", done))
    mirror.client = client
    assert len(mirror.find({"dmt.kind": "trial", "dmt.name": sweep.name})) == trials + 1
    return counting.calls


# MLflow and its dependencies use what Python is about to drop.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
def test_one_more_trial_costs_as_much_after_six_as_after_three(store):
    tracker = connect(None, store.folder)
    three, six = (calls_of_the_next_publication(tracker.mirror, store, trials) for trials in (3, 6))
    tracker.close()
    assert three == six
    assert three["runs that were read"] == 1  # the sweep's own


# ---- the simulation --------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_the_simulation_performs_every_trial_and_is_never_faster_than_the_gpus(tmp_path, monkeypatch, workers):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    scale = importlib.import_module("scale")
    arguments = ["--recipe", "voc-1/106", "--trials", "5", "--gpus", "4", "--workers", str(workers)]
    simulation = scale.simulate(scale.parser().parse_args(arguments), tmp_path)
    trials = simulation.study.trials()
    assert {trial.state for trial in trials} <= {"complete", "pruned"}
    assert len(trials) == 5
    once = Counter(key for trial in trials for key in trial.executed)
    assert sum(once.values()) + 6 == simulation.stages  # 6 are shared
    assert (simulation.given > 0) == (workers == 1)  # a group's trials are not helped
    assert simulation.makespan >= simulation.cluster.busy / 4
    assert simulation.makespan >= simulation.shared
