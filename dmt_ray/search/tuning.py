"""A study's trials on Ray Tune: Optuna proposes and decides, Tune places and runs.

Tune calls, for every result, the scheduler first (which may stop the trial) and the callbacks last; when a trial ends,
the scheduler and then the searcher. So a step is reported to Optuna by the scheduler, and a trial is closed by the
searcher, each once.
"""

import functools
import json
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from dmt_ray.errors import TrainingFailed
from dmt_ray.execution import journal
from dmt_ray.execution.journal import Doing, note_executed
from dmt_ray.execution.leaked import free_leaked
from dmt_ray.execution.worker_group import WorkerGroup
from dmt_ray.experiments.sweep import Params, State
from dmt_ray.plan import Stage, waves
from dmt_ray.search.study import Study
from dmt_ray.search.trial import SHARED, Work, explain, keep_traceback, perform_shared, perform_trial
from dmt_ray.store import Store

# A worker that was lost (out of memory, a node gone) is replaced this often; its trial finds its stages in the store.
LOST_WORKERS = 2
# Where a trial has a worker group, its own process only waits: it takes no CPU from the workers, and stays on the head
# node, whose loss ends everything anyhow.
HEAD = {"node:__internal_head__": 0.001}
LEAK_SECONDS = 5.0


class Watcher(Protocol):
    """Who wants to know how the sweep goes on."""

    def begun(self, number: int, params: Params) -> None:
        """A trial was handed to Tune."""

    def scored(self, number: int, step: int, score: float) -> None:
        """A trial finished a step: a rung, or all rungs of a seed."""

    def ended(self, number: int, state: State) -> None:
        """A trial was closed."""

    def tick(self) -> None:
        """Some time has passed; called about ten times a second."""


class _Unpickled:
    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune saves its parts for a restore, and a sweep goes on from its study instead."""
        return {}


class Proposals(_Unpickled, Searcher):  # type: ignore[misc]  # Ray tells no types
    """Hands the study's trials to Tune."""

    def __init__(self, study: Study, work: Work, watcher: Watcher) -> None:
        super().__init__()
        self.study = study
        self.work = work
        self.watcher = watcher
        self.numbers: dict[str, int] = {}
        self.losses: dict[str, tuple[str, Doing | None]] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial's number and params."""
        taken = self.study.take(trial_id)
        if taken is None:
            return str(Searcher.FINISHED)
        number, params = taken
        self.numbers[trial_id] = number
        self.watcher.begun(number, params)
        return {"number": number, "params": params}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Close the trial in the study."""
        number, told = self.numbers[trial_id], result or {}
        failure, node = told.get("error"), told.get("node")
        note_executed(self.study.folder, number, json.loads(told.get("executed", "[]")))
        if "traceback" in told:
            keep_traceback(self.study.folder, number, told["traceback"])
        doing = Doing.from_json(json.loads(told.get("doing", "null")))
        if error:
            failure, doing = self.losses.get(trial_id, ("its worker was lost", None))
        if failure is not None:
            journal.write(self.study.folder, number, "failed", failure, doing, node)
        journal.forget(self.study.folder, number)
        self.watcher.ended(number, self.study.finish(trial_id, failure))

    def lost(self, trial_id: str, said: str) -> None:
        """Write down that a trial's worker was lost, while its note still says what it was doing."""
        number = self.numbers[trial_id]
        doing = journal.noted(self.study.folder, number)
        why = journal.why_lost(self.work.machine.store, doing, said)
        journal.write(self.study.folder, number, "lost", why, doing)
        where = "" if doing is None else f" in {doing} on {doing.node}"
        self.losses[trial_id] = (f"its worker was lost{where}: {why}", doing)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the study is on disk."""


class BetweenSteps(_Unpickled, FIFOScheduler):  # type: ignore[misc]
    """Reports each step to the study, which says whether the trial is pruned there."""

    def __init__(self, proposals: Proposals) -> None:
        super().__init__()
        self.proposals = proposals

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Write the step down, and stop the trial if it is hopeless."""
        if "error" in result:
            return str(TrialScheduler.CONTINUE)
        prune = self.proposals.study.report(trial.trial_id, result["step"], result["score"])
        self.proposals.watcher.scored(self.proposals.numbers[trial.trial_id], result["step"], result["score"])
        return str(TrialScheduler.STOP if prune else TrialScheduler.CONTINUE)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """A worker was lost; Tune may replace it."""
        said = ""
        with suppress(OSError, TypeError):  # it holds every loss of this trial, the last one last
            said = Path(trial.error_file).read_text(encoding="utf-8").rpartition("Failure # ")[2]
        self.proposals.lost(trial.trial_id, said)


class _Ticks(_Unpickled, tune.Callback):  # type: ignore[misc]
    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher
        self._looked = time.monotonic()

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self.watcher.tick()
        if time.monotonic() - self._looked > LEAK_SECONDS:
            self._looked = time.monotonic()
            free_leaked()


def run_shared(store: Store, work: Work, watcher: Watcher, *, concurrent: int) -> None:
    """Perform what is missing of the stages that all trials share, as Ray tasks.

    Args:
        store: The store.
        work: What the workers have to know.
        watcher: Is told of all that happens.
        concurrent: Tasks at a time, where each has a worker group.

    Raises:
        TrainingFailed: If one of them fails; no trial could go on without it.
    """
    run_stages(work.sweep.common(), store, work, watcher, concurrent=concurrent, what="a stage that all trials share")


def run_stages(
    stages: Sequence[Stage], store: Store, work: Work, watcher: Watcher, *, concurrent: int, what: str
) -> None:
    """Perform what is missing of some stages, as Ray tasks.

    Args:
        stages: The stages, with all that they need.
        store: The store.
        work: What the workers have to know.
        watcher: Is told of all that happens.
        concurrent: Tasks at a time, where each has a worker group.
        what: What such a stage is, for messages: "a stage that all trials share".

    Raises:
        TrainingFailed: If one of them fails.
    """
    journal.forget_all(work.folder)  # of a sweep that was killed
    if work.worker_group.workers > 1:
        # A worker group subtracts the store itself, and cuts what is left into waves. The seeds have nothing in common.
        by_seed: dict[int, list[Stage]] = {}
        for stage in stages:
            by_seed.setdefault(stage.seed, []).append(stage)
        todo = [tuple(one) for one in by_seed.values() if store.missing(one)]
        _run_tasks(todo, work, watcher, concurrent, what)
        return
    for wave in waves(store.missing(stages)):
        _run_tasks([(stage,) for stage in wave], work, watcher, len(wave), what)


def _run_tasks(todo: list[tuple[Stage, ...]], work: Work, watcher: Watcher, concurrent: int, what: str) -> None:
    options = {"resources": HEAD} if work.worker_group.workers > 1 else {"num_gpus": work.worker_group.gpus}
    # Not repeated by Ray, which would not say so.
    task = ray.remote(perform_shared).options(
        num_cpus=0 if work.worker_group.workers > 1 else work.worker_group.cpus, max_retries=0, **options
    )
    waiting: dict[Any, tuple[Stage, ...]] = {}
    losses: Counter[str] = Counter()
    while todo or waiting:
        while todo and len(waiting) < concurrent:
            stages = todo.pop(0)
            waiting[task.remote(stages, work)] = stages
        for done in ray.wait(list(waiting), timeout=0.2)[0]:
            stages = waiting.pop(done)
            who = stages[0].name
            try:
                note_executed(work.folder, SHARED, ray.get(done))
            except ray.exceptions.RayTaskError as error:
                why = explain(error.cause)
                journal.write(work.folder, who, "failed", why, journal.noted(work.folder, who))
                keep_traceback(work.folder, SHARED, str(error))
                raise TrainingFailed(f"{what} failed: {why}") from None
            except ray.exceptions.RayError as error:
                doing = journal.noted(work.folder, who)
                why = journal.why_lost(work.machine.store, doing, str(error))
                journal.write(work.folder, who, "lost", why, doing)
                losses[who] += 1
                if losses[who] > LOST_WORKERS:
                    raise TrainingFailed(
                        f"{what} lost {losses[who]} workers, the last one in {doing or who}: {why}"
                    ) from None
                todo.append(stages)
        watcher.tick()
    free_leaked()


def _place(worker_group: WorkerGroup) -> tune.PlacementGroupFactory:
    """What Tune sets aside for a trial's own process. A worker group's workers have places of their own."""
    return tune.PlacementGroupFactory([HEAD if worker_group.workers > 1 else worker_group.resources])


def run_trials(study: Study, work: Work, watcher: Watcher, *, concurrent: int) -> None:
    """Perform the study's trials until all have ended or the user stops them.

    Args:
        study: What to perform.
        work: What the workers have to know.
        watcher: Is told of all that happens.
        concurrent: Trials at a time.
    """
    journal.forget_all(study.folder)
    for left in study.folder.glob("tune-*"):  # of a sweep that was killed
        shutil.rmtree(left, ignore_errors=True)
    proposals = Proposals(study, work, watcher)
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        with tempfile.TemporaryDirectory(prefix="tune-", dir=study.folder, ignore_cleanup_errors=True) as aside:
            tune.Tuner(
                tune.with_resources(functools.partial(perform_trial, work=work), _place(work.worker_group)),
                tune_config=tune.TuneConfig(
                    num_samples=study.total,
                    max_concurrent_trials=concurrent,
                    search_alg=proposals,
                    scheduler=BetweenSteps(proposals),
                    reuse_actors=True,
                    trial_dirname_creator=lambda trial: f"trial-{trial.config['number']}-{trial.trial_id}",
                ),
                run_config=tune.RunConfig(
                    name=study.sweep.name,
                    storage_path=aside,
                    verbose=0,
                    callbacks=[_Ticks(watcher)],
                    failure_config=tune.FailureConfig(max_failures=LOST_WORKERS),
                ),
            ).fit()
    finally:
        # Tune leaves its own handler there, which would swallow the first Ctrl-C of what comes after.
        signal.signal(signal.SIGINT, interrupt)
