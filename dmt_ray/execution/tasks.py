"""Performs the union of plans on Ray: every stage once, as soon as what it needs is there, seed by seed, those with
most behind them first.

With single workers each stage is a Ray task of its own. A worker group is given what all plans of a seed share, then
what is left of each plan. A stage that fails takes with it only what needs it.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import ray

from dmt_ray.execution import journal
from dmt_ray.execution.journal import note_executed
from dmt_ray.execution.leaked import free_leaked
from dmt_ray.plan import Plan, Stage, shared
from dmt_ray.search.trial import SHARED, Job, explain, keep_traceback, perform_shared
from dmt_ray.search.tuning import HEAD, LOST_WORKERS
from dmt_ray.store import Store

WAIT_SECONDS = 0.2


class Watcher(Protocol):
    """Who wants to know how it goes on."""

    def done(self, stages: Sequence[Stage]) -> None:
        """These stages are there."""

    def failed(self, stage: Stage, why: str) -> None:
        """This stage failed, or lost its workers too often."""

    def tick(self) -> None:
        """Some time has passed."""


@dataclass(frozen=True)
class Unit:
    """What one worker, or one worker group, does at a go.

    Attributes:
        targets: What is wanted.
        stages: All that is computed for it.
        needs: Stages of other units that have to be there before.
        weight: Work of the longest chain that begins with it.
    """

    targets: tuple[Stage, ...]
    stages: tuple[Stage, ...]
    needs: frozenset[Stage]
    weight: float


def units(store: Store, plans: Sequence[Plan], effort: Callable[[Stage], float], *, worker_groups: bool) -> list[Unit]:
    """What is missing of these plans, cut into units: seed by seed, so that what is stopped has whole pairs, and in a
    seed the heaviest chains first."""
    missing = store.missing(stage for plan in plans for rung in plan.rungs for stage in rung.values())
    found = _by_plan(plans, missing) if worker_groups else [((stage,), (stage,)) for stage in missing]
    weights = _chains(missing, effort)
    made = []
    for targets, stages in found:
        own = set(stages)
        needs = frozenset(
            needed for stage in stages for needed in stage.inputs.values() if needed in weights and needed not in own
        )
        made.append(Unit(targets, stages, needs, max(weights[stage] for stage in stages)))
    seeds = list(dict.fromkeys(stage.seed for stage in missing))
    return sorted(made, key=lambda unit: (seeds.index(unit.targets[0].seed), -unit.weight))


def _by_plan(plans: Sequence[Plan], missing: Sequence[Stage]) -> list[tuple[tuple[Stage, ...], tuple[Stage, ...]]]:
    """Targets and stages: first what plans of a seed share, which has nothing in common with other seeds' share."""
    left = set(missing)
    by_seed: dict[int, list[Stage]] = defaultdict(list)
    for stage in shared(plans):
        if stage in left:
            by_seed[stage.seed].append(stage)
    found = [(tuple(stages), tuple(stages)) for stages in by_seed.values()]
    left.difference_update(stage for stages in by_seed.values() for stage in stages)
    for plan in plans:
        own = tuple(stage for stage in plan.stages() if stage in left)
        left.difference_update(own)
        if own:
            found.append((tuple(evaluation for rung in plan.rungs for evaluation in rung.values()), own))
    return found


def _chains(missing: Sequence[Stage], effort: Callable[[Stage], float]) -> dict[Stage, float]:
    """Work of the longest chain of missing stages that begins with each of them, given inputs first."""
    behind: dict[Stage, float] = defaultdict(float)
    weights = {}
    for stage in reversed(missing):
        weights[stage] = effort(stage) + behind[stage]
        for needed in stage.inputs.values():
            behind[needed] = max(behind[needed], weights[stage])
    return weights


def perform(todo: list[Unit], job: Job, watcher: Watcher, *, concurrent: int) -> dict[Stage, str]:
    """Perform units until all are done, or have failed, or need one that failed. Ray has to be connected.

    Args:
        todo: What is to be done, the most urgent first.
        job: What the workers have to know.
        watcher: Is told of all that happens.
        concurrent: Units at a time.

    Returns:
        The stages that failed, and why; also those that could not begin because of them.
    """
    journal.forget_all(job.folder)  # of a start that was killed
    alone = job.worker_group.workers == 1
    task = ray.remote(perform_shared).options(
        num_cpus=job.worker_group.cpus if alone else 0,
        max_retries=0,  # Ray would not say so
        **({"num_gpus": job.worker_group.gpus} if alone else {"resources": HEAD}),
    )
    left, failed = list(todo), dict[Stage, str]()
    pending = {stage for unit in todo for stage in unit.stages}
    running: dict[Any, Unit] = {}
    losses: Counter[str] = Counter()
    while left or running:
        for unit in [unit for unit in left if not unit.needs.isdisjoint(failed)]:
            left.remove(unit)
            failed.update(dict.fromkeys(unit.stages, _behind(unit, failed)))
        for unit in [unit for unit in left if unit.needs.isdisjoint(pending)][: concurrent - len(running)]:
            left.remove(unit)
            running[task.remote(unit.targets, job)] = unit
        for done in ray.wait(list(running), timeout=WAIT_SECONDS)[0] if running else ():
            unit = running.pop(done)
            why = _end(job, unit, done, losses)
            if why is None:
                pending.difference_update(unit.stages)
                watcher.done(unit.stages)
            elif why:
                failed.update(dict.fromkeys(unit.stages, why))
                watcher.failed(unit.targets[0], why)
            else:
                left.insert(0, unit)  # its worker was lost; another one tries
        watcher.tick()
    free_leaked()
    return failed


def _behind(unit: Unit, failed: Mapping[Stage, str]) -> str:
    return next(failed[stage] for stage in unit.needs if stage in failed)


def _end(job: Job, unit: Unit, done: Any, losses: Counter[str]) -> str | None:
    """None: it is done; "": it is to be tried again; else why it failed."""
    who = unit.targets[0].name
    try:
        note_executed(job.folder, SHARED, ray.get(done))
        return None
    except ray.exceptions.RayTaskError as error:
        why = explain(error.cause)
        journal.write(job.folder, who, "failed", why, journal.noted(job.folder, who))
        keep_traceback(job.folder, who, str(error))
        return why
    except ray.exceptions.RayError as error:
        doing = journal.noted(job.folder, who)
        why = journal.why_lost(job.machine.store, doing, str(error))
        journal.write(job.folder, who, "lost", why, doing)
        losses[who] += 1
        return (
            "" if losses[who] <= LOST_WORKERS else f"lost {losses[who]} workers, the last one in {doing or who}: {why}"
        )
