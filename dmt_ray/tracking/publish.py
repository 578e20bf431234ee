"""Write results into MLflow. Done again, it changes nothing; interrupted, it goes on where it was.

Runs are found again by tags that start with "dmt.". Of a run's metrics, each unit is marked as published after it is
in, and the times of metrics come from the store, so that MLflow drops what an interrupted attempt had sent before.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dmt_ray.errors import MissingStages, StoreError
from dmt_ray.experiments.sweep import Trial
from dmt_ray.experiments.trials import best as best_of
from dmt_ray.methods.space import told
from dmt_ray.plan.key import key_of
from dmt_ray.results import curves
from dmt_ray.results.curves import Point
from dmt_ray.tracking import artifacts, describe
from dmt_ray.tracking.connection import Mirror
from dmt_ray.tracking.publish_ablation import publish_ablation
from dmt_ray.tracking.publish_shared import (
    DONE,
    FILES,
    KIND,
    NAME,
    PARENT,
    began,
    children,
    ended,
    found_or_new,
    publish_files,
    publish_plans,
    stored,
)
from dmt_ray.tracking.results import AblationResults, Results, RunResults, SweepResults

if TYPE_CHECKING:
    from mlflow.entities import Run

log = logging.getLogger(__name__)

TRIAL = "dmt.trial"
MANY = 20  # ended trials from which on a sweep's figures are not drawn again for each further one
STATUS = {"running": "RUNNING", "complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}


def publish(mirror: Mirror, results: Results) -> None:
    """Bring MLflow up to date with these results.

    Raises:
        Exception: Whatever MLflow, its database or its server raises. What was published before stays.
    """
    if isinstance(results, SweepResults):
        _publish_sweep(mirror, results)
    elif isinstance(results, AblationResults):
        publish_ablation(mirror, results)
    else:
        _publish_run(mirror, results)


# ---- a single run ----------------------------------------------------------------------------------------------


def _publish_run(mirror: Mirror, results: RunResults) -> None:
    plans, store = {results.seed: results.plan}, results.store
    complete = all(store.has(evaluation) for rung in results.plan.rungs for evaluation in rung.values())

    def now() -> str:
        return key_of(["run", complete, *stored(store, plans)])

    run = found_or_new(mirror, {KIND: "run", NAME: results.name}, results.name, began(store, plans, None))
    done = now()
    if run.data.tags.get(DONE) == done and run.info.status == ("FINISHED" if complete else "RUNNING"):
        return
    mirror.set_status(run, "RUNNING")
    run.info._status = "RUNNING"
    mirror.log_params(run, describe.params(results.config, method=results.method, seed=results.seed))
    mirror.tag(run, describe.common_tags(results.method, results.config, [results.seed], results.dataset_info))
    if results.dataset_info.command:
        mirror.tag(
            run, {"command": results.dataset_info.command, describe.NOTE: f"```\n{results.dataset_info.command}\n```"}
        )
    publish_plans(mirror, run, store, plans, results.dataset_info)
    everything = [stage.key for stage in results.plan.stages()]
    config, dataset_info = results.config, results.dataset_info
    publish_files(
        mirror, run, lambda folder: artifacts.write_run(folder, store, config, plans, everything, dataset_info)
    )
    if complete:
        mirror.set_status(run, "FINISHED", ended(store, plans, None))
    if now() == done:  # else a stage turned out to be damaged
        mirror.tag(run, {DONE: done})


# ---- a sweep ---------------------------------------------------------------------------------------------------


def _publish_sweep(mirror: Mirror, results: SweepResults) -> None:
    sweep = results.sweep
    parent = found_or_new(mirror, {KIND: "sweep", NAME: sweep.name}, sweep.name, None)
    sweep_id = parent.info.run_id
    states = {_identity(trial): _state(results, trial) for trial in results.begun}
    news = [trial for trial in results.begun if mirror.told.get((sweep_id, name := _identity(trial))) != states[name]]
    runs = children(mirror, sweep_id, TRIAL, [_identity(trial) for trial in news])
    # First the trials: a sweep's page never speaks of one that is not there.
    for trial in news:
        name = _identity(trial)
        if _publish_trial(mirror, results, parent, trial, runs.get(name)):
            mirror.told[sweep_id, name] = states[name]
    _publish_parent(mirror, results, parent)


def _state(results: SweepResults, trial: Trial) -> str:
    """Changes whenever there is more to tell of a trial: a stage of its own is done, a rung has a score, it ends."""
    return key_of([results.state == "running", trial.state, trial.error, len(trial.executed), len(trial.scores)])


def _identity(trial: Trial) -> str:
    """A trial's number, and its settings: a study that was begun anew counts from 0 again."""
    return f"{trial.number}-{key_of(trial.params)[:8]}"


def _publish_trial(mirror: Mirror, results: SweepResults, parent: "Run", trial: Trial, run: "Run | None") -> bool:
    """Bring the run of a trial up to date; False if a stage turned out to be damaged, or was finished meanwhile."""
    sweep, store = results.sweep, results.store
    plans = sweep.plans(trial.params)
    interrupted = trial.state == "running" and results.state != "running"
    status = "KILLED" if interrupted else STATUS[trial.state]

    def now() -> str:
        return key_of([trial.state, interrupted, trial.error, len(trial.executed), *stored(store, plans)])

    done = now()
    if run is not None and run.data.tags.get(DONE) == done and run.info.status == status:
        return True
    if run is None:
        tags = {PARENT: parent.info.run_id, KIND: "trial", NAME: sweep.name, TRIAL: _identity(trial)}
        run = mirror.create(describe.settings_name(trial.params), tags, began(store, plans, trial.executed))
        mirror.runs[parent.info.run_id, _identity(trial)] = run.info.run_id
    elif run.info.status != "RUNNING" and status == "RUNNING":
        mirror.set_status(run, "RUNNING")
    config, method = sweep.config_of(trial.params), sweep.method_of(trial.params)
    seeds = ", ".join(map(str, sweep.seeds))
    mirror.log_params(run, describe.params(config, method=method, seeds=seeds, trial=trial.number))
    reused = len(
        {stage for plan in plans.values() for stage in plan.stages() if store.has(stage)}
        - {stage for plan in plans.values() for stage in plan.stages() if stage.key in trial.executed}
    )
    tags = describe.common_tags(method, config, sweep.seeds, results.dataset_info)
    tags |= {"trial": str(trial.number), "executed": str(len(trial.executed)), "reused": str(reused)}
    tags |= describe.made_tags(store, (unit.evaluation for unit in curves.units(plans)))
    if trial.number in results.replay:
        command = results.replay[trial.number]
        tags |= {"command": command, describe.NOTE: f"Again:\n```\n{command}\n```"}
    states = {"pruned": "true" if trial.state == "pruned" else None, "interrupted": "true" if interrupted else None}
    states["error"] = trial.error if trial.state == "failed" else None
    mirror.tag(run, tags | {name: value for name, value in states.items() if value is not None})
    mirror.untag(run, [name for name, value in states.items() if value is None])
    publish_plans(mirror, run, store, plans, results.dataset_info, finals=trial.state == "complete")
    if status != "RUNNING":
        publish_files(
            mirror, run, lambda f: artifacts.write_run(f, store, config, plans, trial.executed, results.dataset_info)
        )
        mirror.set_status(run, status, ended(store, plans, trial.executed))
    if now() != done:
        return False
    mirror.tag(run, {DONE: done})
    return True


def _publish_parent(mirror: Mirror, results: SweepResults, parent: "Run") -> None:
    sweep, store = results.sweep, results.store
    status = {"running": "RUNNING", "finished": "FINISHED", "stopped": "KILLED"}[results.state]
    best = best_of(results.begun)
    finals: Mapping[str, float] = {}
    if best is not None:
        try:
            finals = curves.finals(store, sweep.plans(best.params))
        except (StoreError, MissingStages) as error:
            log.warning("the best trial of %s cannot be read (%s); start the sweep again.", sweep.name, error)
            best = None
    shown = [[_identity(trial), trial.state, trial.error, sorted(trial.scores.items())] for trial in results.begun]
    done = key_of([results.state, results.result, results.dataset_info.command, shown])
    if parent.data.tags.get(DONE) == done and parent.info.status == status:
        return
    mirror.set_status(parent, "RUNNING")
    seeds = ", ".join(map(str, sweep.seeds))
    mirror.log_params(parent, describe.params(sweep.config, method=sweep.method, seeds=seeds))
    tags = describe.common_tags(sweep.method, sweep.config, sweep.seeds, results.dataset_info)
    tags[describe.NOTE] = describe.sweep_note(results, best, finals)
    if results.dataset_info.command:
        tags["command"] = results.dataset_info.command
    if best is not None:
        plans = sweep.plans(best.params)
        tags |= describe.made_tags(store, (unit.evaluation for unit in curves.units(plans)))
        tags |= {"best.trial": str(best.number)} | {f"best.{name}": told(value) for name, value in best.params.items()}
        # One point per number of finished trials: how the best so far has grown.
        step, when = sum(trial.state == "complete" for trial in results.begun), ended(store, plans, None)
        mirror.log_points(parent, [Point(name, value, step, when or 0) for name, value in finals.items()])
    mirror.tag(parent, tags)
    drawn = _drawn(results.state, [row for row in shown if row[1] != "running"])
    if parent.data.tags.get(FILES) != drawn:
        publish_files(mirror, parent, lambda folder: artifacts.write_sweep(folder, results, best))
        mirror.tag(parent, {FILES: drawn})
    if results.state == "finished" and best is not None:
        _publish_model(mirror, results, parent, best)
    mirror.set_status(parent, status)
    mirror.tag(parent, {DONE: done})


def _drawn(state: str, ended: Sequence[Any]) -> str:
    """Changes when a sweep's figures are due: when a trial has ended, and of many, when a twentieth more have."""
    if state == "running" and len(ended) > MANY:
        return key_of(["running", math.floor(math.log(len(ended) / MANY, 1.05))])
    return key_of([state == "running", *ended])


def _publish_model(mirror: Mirror, results: SweepResults, parent: "Run", best: Trial) -> None:
    from dmt_ray.tracking.best_model import log_best_model  # torch, which nothing else here needs

    log_best_model(mirror, parent, results.store, results.sweep.plans(best.params), results.dataset_info)
