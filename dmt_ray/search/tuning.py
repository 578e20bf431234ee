"""A study's trials on Ray Tune: Optuna proposes and decides, Tune places and runs.

Tune calls, for every result, the scheduler first (which may stop the trial) and the callbacks last; when a trial ends,
the scheduler and then the searcher. So a rung is reported to Optuna by the scheduler, and a trial is closed by the
searcher, each once.
"""

import functools
import shutil
import tempfile
from collections.abc import Iterable
from typing import Any, Protocol

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from dmt_ray.errors import TrainingFailed
from dmt_ray.plan import Stage, waves
from dmt_ray.search.study import Study
from dmt_ray.search.sweep import State
from dmt_ray.search.trial import Work, explain, perform_shared, perform_trial

# A worker that was lost (out of memory, a node gone) is replaced this often; its trial finds its stages in the store.
LOST_WORKERS = 2


class Watcher(Protocol):
    """Who wants to know how the sweep goes on."""

    def begun(self, number: int, params: dict[str, float]) -> None:
        """A trial was handed to Tune."""

    def rung(self, number: int, rung: int, score: float) -> None:
        """A trial finished a rung."""

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

    def __init__(self, study: Study, watcher: Watcher) -> None:
        super().__init__()
        self.study = study
        self.watcher = watcher
        self.numbers: dict[str, int] = {}
        self.errors: dict[str, str] = {}

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
        failure = (result or {}).get("error")
        if error:
            failure = self.errors.get(trial_id, "its worker was lost")
        self.watcher.ended(self.numbers[trial_id], self.study.finish(trial_id, failure))

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the study is on disk."""


class BetweenRungs(_Unpickled, FIFOScheduler):  # type: ignore[misc]
    """Reports each rung to the study, which says whether the trial is pruned there."""

    def __init__(self, proposals: Proposals) -> None:
        super().__init__()
        self.proposals = proposals

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Write the rung down, and stop the trial if it is hopeless."""
        if "error" in result:
            return str(TrialScheduler.CONTINUE)
        prune = self.proposals.study.report(trial.trial_id, result["rung"], result["score"])
        self.proposals.watcher.rung(self.proposals.numbers[trial.trial_id], result["rung"], result["score"])
        return str(TrialScheduler.STOP if prune else TrialScheduler.CONTINUE)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Keep the reason why a worker was lost, for the case that it is not replaced."""
        reason = " ".join(str(trial.get_error() or "").split())[:300]
        self.proposals.errors[trial.trial_id] = f"its worker was lost: {reason}" if reason else "its worker was lost"


class _Ticks(_Unpickled, tune.Callback):  # type: ignore[misc]
    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self.watcher.tick()


def run_shared(stages: Iterable[Stage], work: Work, watcher: Watcher) -> None:
    """Perform the stages that all trials share, each as one Ray task, wave by wave.

    Raises:
        TrainingFailed: If one of them fails; no trial could go on without it.
    """
    task = ray.remote(perform_shared).options(num_cpus=1, num_gpus=work.gpus, max_retries=LOST_WORKERS)
    for wave in waves(stages):
        waiting = [task.remote(stage, work) for stage in wave]
        while waiting:
            done, waiting = ray.wait(waiting, timeout=0.2)
            try:
                ray.get(done)
            except ray.exceptions.RayTaskError as error:
                raise TrainingFailed(f"a stage that all trials share failed: {explain(error.cause)}") from None
            watcher.tick()


def run_trials(study: Study, work: Work, watcher: Watcher, *, concurrent: int) -> None:
    """Perform the study's trials until all have ended or the user stops them.

    Args:
        study: What to perform.
        work: What the workers have to know.
        watcher: Is told of all that happens.
        concurrent: Trials at a time.
    """
    for left in study.folder.glob("tune-*"):  # of a sweep that was killed
        shutil.rmtree(left, ignore_errors=True)
    proposals = Proposals(study, watcher)
    with tempfile.TemporaryDirectory(prefix="tune-", dir=study.folder, ignore_cleanup_errors=True) as aside:
        tune.Tuner(
            tune.with_resources(
                functools.partial(perform_trial, work=work), {"cpu": 1, "gpu": work.gpus} if work.gpus else {"cpu": 1}
            ),
            tune_config=tune.TuneConfig(
                num_samples=study.total,
                max_concurrent_trials=concurrent,
                search_alg=proposals,
                scheduler=BetweenRungs(proposals),
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
