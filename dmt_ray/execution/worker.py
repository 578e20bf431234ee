"""What Ray's workers run: they perform stages, and write down at once what they do and what they have done."""

import functools
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dmt_ray.errors import Interrupted, UserError
from dmt_ray.execution import journal
from dmt_ray.execution.allocation import WorkerGroup
from dmt_ray.execution.journal import SHARED, Activity
from dmt_ray.execution.plugins import Plugin, plugins
from dmt_ray.execution.runner import Machine, Runner
from dmt_ray.execution.worker_group import GroupRunner, limit_memory
from dmt_ray.plan import Stage

TERMINATED = 143  # exit status of a process that SIGTERM has ended


@dataclass(frozen=True)
class Job:
    """What every worker has to know.

    Attributes:
        machine: Where data and store are, as the workers see them.
        folder: The folder of the sweep or the ablation.
        worker_group: The workers that perform something together.
        plugins: Methods and data sets that a worker cannot find by itself.
    """

    machine: Machine
    folder: Path
    worker_group: WorkerGroup
    plugins: tuple[Plugin, ...] = field(default_factory=plugins, kw_only=True)


def perform_unit(member: str, targets: Sequence[Stage], job: Job) -> list[str]:
    """Perform a unit of `tasks`: its targets and all they need; the keys of what was computed for it.

    If it fails, its activity stays written down: it tells the driver what failed where.
    """
    try:
        executed = perform(job, member, targets, None)
    except Interrupted:  # SIGTERM: the driver gives the stage to another worker, which goes on from here
        os._exit(TERMINATED)
    journal.end(job.folder, member)
    return executed


def perform(job: Job, member: int | str, targets: Iterable[Stage], rung: int | None) -> list[str]:
    """Perform what is missing of some stages and of all they need, by this process or by a worker group of its own.

    Args:
        job: What every worker has to know.
        member: The member that they are performed for.
        targets: The stages.
        rung: Rung of the trial that they are for; None: several members share them.

    Returns:
        The keys of what was computed.

    Raises:
        UserError: If a stage cannot be computed.
        Halted: If a trial is to go no further: before the next stage, of a worker group before its first one.
    """
    executed = []

    def done(stage: Stage) -> None:
        # At once, before a kill can strike.
        journal.note_executed(job.folder, SHARED if rung is None else member, [stage.key])
        executed.append(stage.key)

    where = (job.folder, member, rung)
    if rung is not None:
        journal.check_halt(job.folder)
    if job.worker_group.workers > 1:
        lost = functools.partial(journal.write_lost, job.folder, job.machine.store, member)
        begun = functools.partial(_begun, *where)
        _group_runner(job.machine, job.worker_group).perform(targets, begun, done, lost)
    else:
        alone = functools.partial(_begun_unless_halted, *where)
        _runner(job.machine, job.worker_group.gpus).perform(targets, alone, done)
    return executed


def help_out(number: int, target: Stage, job: Job) -> list[str]:
    """Perform what is missing of an evaluation for a trial that another process performs; the keys of what was
    computed.

    What is going on with the trial is for that process to write down.
    """

    def begun(_: Stage) -> None:
        journal.check_halt(job.folder)

    def done(stage: Stage) -> None:
        journal.note_executed(job.folder, number, [stage.key])

    try:
        executed = _runner(job.machine, job.worker_group.gpus).perform([target], begun, done)
    except Interrupted:  # SIGTERM: the trial's process goes on from here
        os._exit(TERMINATED)
    return [stage.key for stage in executed]


def _begun_unless_halted(folder: Path, member: int | str, rung: int | None, stage: Stage) -> None:
    if rung is not None:
        journal.check_halt(folder)
    _begun(folder, member, rung, stage)


def _begun(folder: Path, member: int | str, rung: int | None, stage: Stage, side: int = 0) -> None:
    journal.begin(folder, member, Activity.of(stage, rung), side)


@functools.cache
def _runner(machine: Machine, gpus: float) -> Runner:
    limit_memory(gpus)
    return Runner(machine)


_group_runner = functools.cache(GroupRunner)


def explain(error: BaseException) -> str:
    """An error in one line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"
