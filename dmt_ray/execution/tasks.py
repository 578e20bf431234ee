"""Performs a set of stages on Ray: every stage once, as soon as what it needs is there, seed by seed, those with most
behind them first.

With single workers each stage is a Ray task of its own. A worker group is given what all plans of a seed share, then
what is left of each plan. A stage that fails takes with it only what needs it.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray

from dmt_ray.errors import TrainingFailed
from dmt_ray.execution import journal
from dmt_ray.execution.journal import SHARED
from dmt_ray.execution.progress import Progress
from dmt_ray.execution.ray_private import HEAD_NODE, free_leaked
from dmt_ray.execution.worker import Job, explain, perform_unit
from dmt_ray.execution.worker_group import side_of_error
from dmt_ray.plan import Stage, in_order
from dmt_ray.store import Store

WAIT_SECONDS = 0.2
# A worker that was lost (out of memory, a node gone) is replaced this often; its work goes on from what is there.
LOST_WORKERS = 2
# A process that waits for a worker group takes no CPU from it, and stays on the head node, whose loss ends everything.
HEAD = {HEAD_NODE: 0.001}


@dataclass(frozen=True)
class Unit:
    """What one worker, or one worker group, does at a go.

    Attributes:
        targets: What is to be there afterwards.
        stages: All that is computed for it.
        needs: Stages of other units that have to be there before.
        weight: Work of the longest chain that begins with it.
    """

    targets: tuple[Stage, ...]
    stages: tuple[Stage, ...]
    needs: frozenset[Stage]
    weight: float

    @property
    def name(self) -> str:
        """Names it in the journal: two units of a worker group may have the same targets, but no stage in common."""
        return self.stages[0].name


def units(
    store: Store, groups: Sequence[Sequence[Stage]], cost: Callable[[Stage], float], *, grouped: bool
) -> list[Unit]:
    """Cut what is missing into units, the most urgent first: seed by seed, so that what is stopped has whole pairs, and
    in a seed the heaviest chains first.

    Args:
        store: What is there already.
        groups: The targets of each plan.
        cost: Work of a stage.
        grouped: Whether a unit is what a worker group does: what is left of a plan; else it is a single stage.
    """
    missing = store.missing(target for targets in groups for target in targets)
    weights = _chains(missing, cost)
    cut = _by_group(groups, missing) if grouped else [((stage,), (stage,)) for stage in missing]
    made = []
    for targets, stages in cut:
        needs = {needed for stage in stages for needed in stage.inputs.values() if needed in weights}
        made.append(Unit(targets, stages, frozenset(needs.difference(stages)), max(weights[stage] for stage in stages)))
    seeds = list(dict.fromkeys(stage.seed for stage in missing))
    return sorted(made, key=lambda unit: (seeds.index(unit.targets[0].seed), -unit.weight))


def _by_group(
    groups: Sequence[Sequence[Stage]], missing: Sequence[Stage]
) -> list[tuple[tuple[Stage, ...], tuple[Stage, ...]]]:
    """Targets and stages: first what groups of a seed share, which has nothing in common with other seeds' share."""
    closures = [in_order(targets) for targets in groups]
    times = Counter(stage for closure in closures for stage in closure)
    by_seed: dict[int, list[Stage]] = defaultdict(list)
    for stage in (stage for stage in missing if times[stage] > 1):
        by_seed[stage.seed].append(stage)
    left = {stage for stage in missing if times[stage] == 1}
    own = [tuple(stage for stage in closure if stage in left) for closure in closures]
    return [
        *((tuple(stages), tuple(stages)) for stages in by_seed.values()),
        *((tuple(targets), stages) for targets, stages in zip(groups, own, strict=True) if stages),
    ]


def _chains(missing: Sequence[Stage], cost: Callable[[Stage], float]) -> dict[Stage, float]:
    """Work of the longest chain of missing stages that begins with each of them, given inputs first."""
    behind: dict[Stage, float] = defaultdict(float)
    weights = {}
    for stage in reversed(missing):
        weights[stage] = cost(stage) + behind[stage]
        for needed in stage.inputs.values():
            behind[needed] = max(behind[needed], weights[stage])
    return weights


def perform(
    todo: Sequence[Unit],
    job: Job,
    progress: Progress,
    *,
    concurrent: int,
    halted: Callable[[], bool] = lambda: False,
) -> dict[Stage, str]:
    """Perform units, the most urgent first, so many at a time, until all are done, or failed, or need one that failed.

    Ray has to be connected. Once `halted`, no further unit begins.

    Returns:
        The stages that failed, and why; also those that could not begin because of them.
    """
    journal.end_all(job.folder)  # of a start that was killed
    alone = job.worker_group.workers == 1
    task = ray.remote(perform_unit).options(
        num_cpus=job.worker_group.cpus if alone else 0,
        max_retries=0,  # Ray would not say so
        **({"num_gpus": job.worker_group.gpus} if alone else {"resources": HEAD}),
    )
    left, failed = list(todo), dict[Stage, str]()
    pending = {stage for unit in todo for stage in unit.stages}
    running: dict[Any, Unit] = {}
    losses: Counter[str] = Counter()
    while left or running:
        if halted():
            left.clear()
        for unit in [unit for unit in left if not unit.needs.isdisjoint(failed)]:
            left.remove(unit)
            failed |= dict.fromkeys(unit.stages, next(failed[stage] for stage in unit.needs if stage in failed))
        for unit in [unit for unit in left if unit.needs.isdisjoint(pending)][: concurrent - len(running)]:
            left.remove(unit)
            running[task.remote(unit.name, unit.targets, job)] = unit
        for done in ray.wait(list(running), timeout=WAIT_SECONDS)[0] if running else ():
            unit = running.pop(done)
            why = _end(job, unit, done, losses)
            if why is None:
                pending.difference_update(unit.stages)
            elif why:
                failed |= dict.fromkeys(unit.stages, why)
                progress.failed(unit.stages[0], why)
            else:
                left.insert(0, unit)  # its worker was lost; another one tries
        progress.tick()
    free_leaked()
    return failed


def _end(job: Job, unit: Unit, done: Any, losses: Counter[str]) -> str | None:
    """None: it is done; "": it is to be tried again; else why it failed."""
    try:
        journal.note_executed(job.folder, SHARED, ray.get(done))
        return None
    except ray.exceptions.RayTaskError as error:
        why = explain(error.cause)
        activity = journal.last_activity(job.folder, unit.name, side_of_error(error.cause))
        journal.write_fault(job.folder, unit.name, "failed", why, activity)
        journal.keep_traceback(job.folder, unit.name, str(error))
        return why
    except ray.exceptions.RayError as error:
        fault = journal.write_lost(job.folder, job.machine.store, unit.name, str(error))
        losses[unit.name] += 1
        lost = losses[unit.name]
        return "" if lost <= LOST_WORKERS else f"lost {lost} workers, the last one{fault.place}: {fault.error}"


def perform_all(
    todo: Sequence[Unit],
    job: Job,
    progress: Progress,
    *,
    concurrent: int,
    what: str,
    halted: Callable[[], bool] = lambda: False,
) -> None:
    """As `perform`, where nothing goes on without any of them; `what` they are: "a stage that all trials share".

    Raises:
        TrainingFailed: If a stage fails; what did not need it is there nevertheless.
    """
    for why in perform(todo, job, progress, concurrent=concurrent, halted=halted).values():
        raise TrainingFailed(f"{what} failed: {why}")
