"""Runs an ablation from the first check to its table."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from rich.console import Console

from dmt_ray import tracking
from dmt_ray.cli.dry_run import bound_ablation, describe_ablation
from dmt_ray.cli.options import begin
from dmt_ray.config import Config
from dmt_ray.errors import ConfigError
from dmt_ray.execution.cost import Effort
from dmt_ray.execution.interruption import answered
from dmt_ray.execution.journal import locked
from dmt_ray.execution.options import Options
from dmt_ray.execution.progress import Progress
from dmt_ray.execution.runner import Runner
from dmt_ray.execution.worker import Job
from dmt_ray.experiments.ablation import Ablation, Member
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.experiments.driver import Session, on_ray, session
from dmt_ray.experiments.experiment_file import ExperimentFile, kind_of, read, write_failed
from dmt_ray.experiments.looks import in_words
from dmt_ray.plan import Stage
from dmt_ray.report import publishing
from dmt_ray.report.tables.files import open_rows, show_and_write, table_of
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
    info = _dataset_info(runner, ablation, options.command)
    begun = ablation.extended(ablation.positions(), ablation.looks[0]) if ablation.looks else ablation
    work = _Work(ExperimentFile(begun, options.storage, options.data, dataset_info=info, command=options.command))
    folder = work.file.folder
    check_looks(work.file)
    describe_ablation(console, runner, ablation, options)
    with locked(folder), answered():
        connect = partial(tracking.connect, options.tracking_uri, options.storage)
        with session(
            connect,
            lambda state: publishing.of_ablation(folder, work.file, runner.store, state, dict(work.failed)),
        ) as current:
            try:
                _perform(console, runner, work, options, current)
            except KeyboardInterrupt:  # while Ray was closed, after all of the work, it is of no consequence
                if not work.ended:
                    raise
            write_failed(folder, work.failed)
            current.state = "finished"
            begin("publishing to MLflow")
    frame = tidy.of_ablation(folder)
    show_and_write(table_of(frame), options.storage / "tables", frame)
    return 1 if work.failed or current.unpublished else 0


@dataclass
class _Work:
    """What is done of an ablation, as it goes on.

    Attributes:
        file: The ablation with the seeds that its rows have so far.
        failed: Name of each stage that failed, or could not begin -> why.
        ended: Whether nothing is left to be done.
    """

    file: ExperimentFile
    failed: dict[str, str] = field(default_factory=dict)
    ended: bool = False

    def lacks(self, member: Member) -> bool:
        """Whether a stage of a member failed, or could not begin."""
        return bool(self.failed) and any(stage.name in self.failed for stage in member.plan.stages())


def check_looks(file: ExperimentFile) -> None:
    """Raise ConfigError for looks that are chosen after results were seen: they would not keep the error at 5 %."""
    looks, seeds = file.ablation.looks, set(file.ablation.seeds)
    if not looks or kind_of(file.folder) != "ablation":
        return
    before = read(file.folder).ablation
    if before.looks and before.looks != looks and seeds & set(before.seeds):
        raise ConfigError(
            f"{before.name} was begun with looks after {in_words(before.looks)} seeds, and other looks would not keep "
            f"its error at 5 %: go on with --looks {in_words(before.looks, ' ')}, or begin anew with --seeds that it "
            "has not used"
        )


def _rounds(console: Console, work: _Work, runner: Runner) -> Iterator[None]:
    """Give the rows their seeds: all at once, or look by look to those that no look has decided.

    After each step the caller registers the ablation as it is now, and performs what is missing.
    """
    ablation, folder = work.file.ablation, work.file.folder
    if not ablation.looks:
        yield
        return
    left = ablation.positions()
    for look, seeds in enumerate(ablation.looks):
        ablation = ablation.extended(left, seeds)
        work.file = replace(work.file, experiment=ablation)
        yield
        write_failed(folder, work.failed)
        left = open_rows(tidy.of_ablation(folder, runner.store))
        names = "; ".join(row if len(ablation.columns) == 1 else f"{row}, {column}" for row, column in sorted(left))
        state = f"open: {names}" if left else "all rows are decided"
        text = f"look {look + 1} of {len(ablation.looks)}, after {seeds} seeds: {state}"
        console.print(text, highlight=False, soft_wrap=True)
        if not left:
            break


def _dataset_info(runner: Runner, ablation: Ablation, command: str) -> dict[str, dict[str, Any]]:
    """What people want to see beside results, for each column, and for rows whose splits differ from it."""
    infos: dict[str, dict[str, Any]] = {}
    for cell in sorted(ablation.cells, key=lambda cell: cell.row != ablation.reference):
        info = DatasetInfo.of(runner.dataset(cell.config.data), cell.config, ablation.seeds, command).to_json()
        if info != infos.setdefault(cell.column, info):
            infos[f"{cell.column} / {cell.row}"] = info
    return infos


def _perform(console: Console, runner: Runner, work: _Work, options: Options, running: Session) -> None:
    """Perform what is missing, and note what failed; Ray is started when something is to be done."""
    effort, store = Effort(runner.work_of), runner.store
    with ExitStack() as stack:
        ray: tuple[Job, int] | None = None
        for _ in _rounds(console, work, runner):
            # What failed in this start is not tried again at the next look.
            members = [one for one in work.file.ablation.members() if not work.lacks(one)]
            groups = [member.plan.targets() for member in members]
            missing = store.missing(stage for group in groups for stage in group)
            if not missing:
                running.register(work.file)
                continue
            ray = ray or stack.enter_context(on_ray(options, store, work.file.folder))
            running.register(work.file)
            from dmt_ray.execution import tasks  # needs the environment that connecting has prepared

            job, room = ray
            todo = tasks.units(store, groups, effort, grouped=job.worker_group.workers > 1)
            names = {stage: member.name for member in reversed(members) for stage in member.plan.stages()}
            with _Progress(console, store, effort, missing, names, running, work.failed) as progress:
                lost = tasks.perform(todo, job, progress, concurrent=room)
            work.failed |= {stage.name: reason for stage, reason in lost.items()}
        work.ended = True
        if ray:
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
