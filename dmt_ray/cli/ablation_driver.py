"""Runs an ablation from the first check to its table."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from rich.console import Console

from dmt_ray import tracking
from dmt_ray.cli.dry_run import bound_ablation, describe_ablation
from dmt_ray.cli.options import begin
from dmt_ray.config import Config
from dmt_ray.execution.cost import Effort
from dmt_ray.execution.interruption import answered
from dmt_ray.execution.journal import locked
from dmt_ray.execution.options import Options
from dmt_ray.execution.progress import Progress
from dmt_ray.execution.runner import Runner
from dmt_ray.experiments.ablation import Ablation, Member
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.experiments.driver import Session, on_ray, session
from dmt_ray.experiments.experiment_file import ExperimentFile, write_failed
from dmt_ray.plan import Stage
from dmt_ray.report import publishing
from dmt_ray.report.tables.files import show_and_write, table_of
from dmt_ray.results import tidy

PUBLISH_SECONDS = 120.0  # between two publications of a running ablation


def drive(ablation_of: Callable[[Callable[[Config], Config]], Ablation], options: Options) -> int:
    """Perform what is missing of an ablation, and show its table.

    Args:
        ablation_of: Makes the ablation, given what binds settings to their data.
        options: What the command line says.

    Returns:
        The exit status: 0, or 1 if a stage failed or MLflow lacks something.

    Raises:
        UserError: If something outside has to change first.
        KeyboardInterrupt: If the user stopped it.
    """
    console, runner = Console(markup=False), options.driver()
    ablation = bound_ablation(runner, ablation_of, options.seeds)
    members = list(ablation.members())
    targets = [stage for one in members for stage in one.plan.targets()]
    describe_ablation(console, runner, ablation)
    info = _dataset_info(runner, ablation, options.command)
    file = ExperimentFile(ablation, options.storage, options.data, dataset_info=info, command=options.command)
    failed: dict[str, str] = {}
    with locked(file.folder), answered():
        connect = partial(tracking.connect, options.tracking_uri, options.storage)
        with session(
            file, connect, lambda state: publishing.of_ablation(file.folder, file, runner.store, state, dict(failed))
        ) as current:
            try:
                if runner.store.missing(targets):
                    _perform(console, runner, members, file, options, current, failed)
            except KeyboardInterrupt:  # while Ray was closed, after all of the work, it is of no consequence
                if runner.store.missing(targets):
                    raise
            write_failed(file.folder, failed)
            current.state = "finished"
            begin("publishing to MLflow")
    frame = tidy.of_ablation(file.folder)
    show_and_write(table_of(frame), options.storage / "tables", frame)
    return 1 if failed or current.unpublished else 0


def _dataset_info(runner: Runner, ablation: Ablation, command: str) -> dict[str, dict[str, Any]]:
    """What people want to see beside results, for each column, and for rows whose splits differ from it."""
    infos: dict[str, dict[str, Any]] = {}
    for cell in sorted(ablation.cells, key=lambda cell: cell.row != ablation.reference):
        info = DatasetInfo.of(runner.dataset(cell.config.data), cell.config, ablation.seeds, command).to_json()
        if info != infos.setdefault(cell.column, info):
            infos[f"{cell.column} / {cell.row}"] = info
    return infos


def _perform(
    console: Console,
    runner: Runner,
    members: Sequence[Member],
    file: ExperimentFile,
    options: Options,
    running: Session,
    failed: dict[str, str],
) -> None:
    """Perform what is missing; `failed` takes the name of each stage that failed, or could not begin -> why."""
    with on_ray(options, runner.store, file) as (job, room):
        from dmt_ray.execution import tasks  # needs the environment that connecting has prepared

        effort = Effort(runner.work_of)
        groups = [member.plan.targets() for member in members]
        todo = tasks.units(runner.store, groups, effort, grouped=job.worker_group.workers > 1)
        missing = runner.store.missing(stage for group in groups for stage in group)
        names = {stage: member.name for member in reversed(members) for stage in member.plan.stages()}
        with _Progress(console, runner.store, effort, missing, names, running, failed) as progress:
            lost = tasks.perform(todo, job, progress, concurrent=room)
        failed |= {stage.name: reason for stage, reason in lost.items()}
        begin("closing Ray")


class _Progress(Progress):
    """Progress that also has the ablation published now and then."""

    def __init__(self, *parts: Any) -> None:
        *usual, self._session, self._failed = parts
        super().__init__(*usual)
        self._published = time.monotonic()

    def failed(self, stage: Stage, reason: str) -> None:
        super().failed(stage, reason)
        self._failed[stage.name] = reason

    def tick(self) -> None:
        super().tick()
        if time.monotonic() - self._published > PUBLISH_SECONDS:
            self._published = time.monotonic()
            self._session.publish()
