"""A study's trials on Ray Tune: Optuna proposes and decides, Tune places and runs.

Tune calls, for every result, the scheduler first (which may stop the trial) and the callbacks last; when a trial ends,
the scheduler and then the searcher. So a step is reported to Optuna by the scheduler, and a trial is closed by the
searcher, each once; one that makes room for another ends for Tune, and is closed when it has gone on.
"""

import functools
import json
import shutil
import signal
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from dmt_ray.execution import journal
from dmt_ray.execution.journal import Activity
from dmt_ray.execution.ray_private import free_leaked
from dmt_ray.execution.tasks import HEAD, LOST_WORKERS
from dmt_ray.execution.worker import help_out
from dmt_ray.search.budget import Enough
from dmt_ray.search.helping import Helping, Part
from dmt_ray.search.progress import SweepProgress
from dmt_ray.search.study import Study
from dmt_ray.search.trial import SweepJob, perform_trial
from dmt_ray.search.turns import Turns

LEAK_SECONDS = 5.0  # between two looks for placement groups that nobody frees
HELP_SECONDS = 1.0  # between two looks for what workers without a trial can do


class _Unpickled:
    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune saves its parts for a restore, but a sweep resumes from its study instead."""
        return {}


class Proposals(_Unpickled, Searcher):  # type: ignore[misc]  # Ray has no types
    """Hands the study's trials to Tune."""

    def __init__(
        self, study: Study, job: SweepJob, progress: SweepProgress, enough: Enough, helping: Helping, turns: Turns
    ) -> None:
        super().__init__()
        self.study, self.job, self.progress, self.enough, self.helping = study, job, progress, enough, helping
        self.turns = turns
        self.numbers: dict[str, int] = {}
        self.paused: set[str] = set()  # what Tune calls those that have made room: it knows them as ended
        self.losses: dict[str, tuple[str, Activity | None]] = {}
        self._ended = False  # there is enough, though trials are left

    @property
    def all_begun(self) -> bool:
        """Whether no further trial begins, and none that waits can go on now."""
        return self._ended or not self.study.ready

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial's number and params."""
        taken = self.study.take(trial_id, new=self.enough() is None)
        if taken is None and self.study.paused:
            return None  # for now
        if taken is None:
            self._ended = True
            return str(Searcher.FINISHED)
        number, params = taken
        self.numbers[trial_id] = number
        self.progress.begun(number, params)
        self.helping.begun(number, params)
        self.turns.begun(number)
        return {"number": number, "params": params}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Close the trial in the study."""
        folder, number, report = self.study.folder, self.numbers[trial_id], result or {}
        self.helping.ended(number)
        failure, activity = report.get("error"), Activity.from_json(json.loads(report.get("activity", "null")))
        journal.note_executed(folder, number, json.loads(report.get("executed", "[]")))
        if "traceback" in report:
            journal.keep_traceback(folder, number, report["traceback"])
        if error:
            failure, activity = self.losses.get(trial_id, ("its worker was lost", None))
        if failure is not None:
            journal.write_fault(folder, number, "failed", failure, activity, report.get("node"))
        journal.end(folder, number)
        state = self.study.finish(trial_id, failure)
        if trial_id in self.paused and state == "running":
            self.progress.paused(number)
        else:
            self.progress.ended(number, state)

    def lost(self, trial_id: str, text: str) -> None:
        """Write down that a trial's worker was lost, and what Ray says of it."""
        fault = journal.write_lost(self.study.folder, self.job.machine.store, self.numbers[trial_id], text)
        self.losses[trial_id] = (f"its worker was lost{fault.place}: {fault.error}", fault.activity)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the study is on disk."""


class BetweenSteps(_Unpickled, FIFOScheduler):  # type: ignore[misc]
    """Reports each step to the study, which says whether the trial is pruned there, or makes room for another one."""

    def __init__(self, proposals: Proposals) -> None:
        super().__init__()
        self.proposals = proposals

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Write the step down; stop the trial if it is pruned or makes room for another one."""
        if "error" in result or "halted" in result:
            return str(TrialScheduler.CONTINUE)
        prune = self.proposals.study.report(trial.trial_id, result["step"], result["score"])
        number = self.proposals.numbers[trial.trial_id]
        self.proposals.progress.scored(number, result["step"], result["score"])
        self.proposals.helping.scored(number, result["step"])
        if not prune and self.proposals.turns.over(trial.trial_id, number, result["step"]):
            self.proposals.paused.add(trial.trial_id)
            return str(TrialScheduler.STOP)
        return str(TrialScheduler.STOP if prune else TrialScheduler.CONTINUE)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """A worker was lost; Tune may replace it."""
        text = ""
        with suppress(OSError, TypeError):  # it holds every loss of this trial, the last one last
            text = Path(trial.error_file).read_text(encoding="utf-8").rpartition("Failure # ")[2]
        self.proposals.lost(trial.trial_id, text)


class Helpers:
    """Workers without a trial do parts of the trials that still run, once no further trial begins (see `helping`).

    Args:
        job: The sweep.
        helping: Knows what can be done.
        room: Trials, or parts of them, for which there is room at a time; 0: no part is given away.
    """

    def __init__(self, job: SweepJob, helping: Helping, room: int) -> None:
        self._job, self._helping, self._room = job, helping, room
        cpus, gpus = job.worker_group.cpus, job.worker_group.gpus
        self._task = ray.remote(help_out).options(num_cpus=cpus, num_gpus=gpus, max_retries=0)
        self._running: dict[Any, Part] = {}
        self._looked = 0.0

    def tick(self) -> None:
        """Collect what is done, and give away what can be, at most once a second."""
        if time.monotonic() - self._looked < HELP_SECONDS:
            return
        self._looked = time.monotonic()
        self._collect()
        for part in self._helping.give(self._room - len(self._helping.running) - len(self._running)):
            self._running[self._task.remote(part.number, part.target, self._job)] = part

    def _collect(self) -> None:
        """Write down what was done, and end what is done for trials that run no longer."""
        for task in (
            ray.wait(list(self._running), num_returns=len(self._running), timeout=0)[0] if self._running else ()
        ):
            part = self._running.pop(task)
            with suppress(ray.exceptions.RayError):  # what is wrong the trial will see for itself
                journal.note_executed(self._job.folder, part.number, ray.get(task))
        for task in [task for task, part in self._running.items() if part.number not in self._helping.running]:
            self._end(task)

    def close(self) -> None:
        """End all that are at work."""
        self._collect()
        for task in list(self._running):
            self._end(task)

    def _end(self, task: Any) -> None:
        del self._running[task]
        ray.cancel(task, force=True)


class _Ticks(_Unpickled, tune.Callback):  # type: ignore[misc]
    def __init__(self, proposals: Proposals, helpers: Helpers) -> None:
        self.proposals, self.helpers = proposals, helpers
        self._looked = time.monotonic()

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self.proposals.progress.tick()
        if self.proposals.all_begun:
            self.helpers.tick()
        if time.monotonic() - self._looked > LEAK_SECONDS:
            self._looked = time.monotonic()
            free_leaked()


def run_trials(
    study: Study,
    job: SweepJob,
    progress: SweepProgress,
    *,
    room: int,
    turns: bool = True,
    enough: Enough = lambda: None,
) -> None:
    """Perform the study's trials until all have ended, it is enough, or the user stops them.

    Args:
        study: The trials.
        job: What their workers have to know.
        progress: Shows them.
        room: Trials for which there is room at a time.
        turns: Whether the last trials take turns (see `turns`).
        enough: Why no further trial begins; None: one may.
    """
    journal.end_all(study.folder)
    for left in study.folder.glob("tune-*"):  # of a sweep that was killed
        shutil.rmtree(left, ignore_errors=True)
    helping = Helping(job.sweep, progress.store.has)
    proposals = Proposals(study, job, progress, enough, helping, Turns(study, room if turns else 0))
    # A worker group performs both models at once; without a common folder a trial does not see who helps it.
    alone = job.worker_group.workers == 1 and job.machine.shared is None
    helpers = Helpers(job, helping, room if alone else 0)
    # For a trial's own process; a worker group's workers have places of their own.
    place = tune.PlacementGroupFactory([HEAD if job.worker_group.workers > 1 else job.worker_group.resources])
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        with tempfile.TemporaryDirectory(prefix="tune-", dir=study.folder, ignore_cleanup_errors=True) as folder:
            tune.Tuner(
                tune.with_resources(functools.partial(perform_trial, job=job), place),
                tune_config=tune.TuneConfig(
                    num_samples=-1,  # one that is paused ends for Tune, and goes on as another one
                    max_concurrent_trials=min(room, study.remaining),
                    search_alg=proposals,
                    scheduler=BetweenSteps(proposals),
                    reuse_actors=True,
                    trial_dirname_creator=lambda trial: f"trial-{trial.config['number']}-{trial.trial_id}",
                ),
                run_config=tune.RunConfig(
                    name=study.sweep.name,
                    storage_path=folder,
                    verbose=0,
                    callbacks=[_Ticks(proposals, helpers)],
                    failure_config=tune.FailureConfig(max_failures=LOST_WORKERS),
                ),
            ).fit()
    finally:
        try:
            helpers.close()
        finally:
            # Tune leaves its own handler there, which would swallow the first Ctrl-C of what comes after.
            signal.signal(signal.SIGINT, interrupt)
