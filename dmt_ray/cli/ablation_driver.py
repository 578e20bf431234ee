"""Runs an ablation from the first check to the last stage."""

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from dmt_ray import tracking
from dmt_ray.cli.request import Asked
from dmt_ray.config import Config
from dmt_ray.execution import cluster, journal
from dmt_ray.execution.cost import Effort, Estimator, Work, duration
from dmt_ray.execution.journal import locked
from dmt_ray.execution.progress import Progress
from dmt_ray.execution.runner import Machine, Runner
from dmt_ray.execution.worker import Job
from dmt_ray.experiments import ablation_file
from dmt_ray.experiments.ablation import Ablation, Wanted
from dmt_ray.experiments.ablation_file import AblationFile
from dmt_ray.plan import Stage
from dmt_ray.store import Store
from dmt_ray.tracking.results import SweepState

PUBLISH_SECONDS = 120.0  # between two publications of a running ablation
CLOSE_SECONDS = {"finished": 600.0, "stopped": 60.0}  # for the last one: the figures of many runs take minutes


@dataclass(frozen=True, kw_only=True)
class Request(Asked):
    """What the command line of an ablation asks for.

    Attributes:
        command: The command line.
        power: What so many seeds can show, in words.
        table: Makes the table in Markdown, given the ablation's folder and the store, for MLflow; None: without it.
    """

    command: str
    power: str
    table: Callable[[Path, Store], str] | None = None


class _Progress(Progress):
    """Progress that also has the ablation published now and then."""

    publish: Callable[[dict[str, str]], None]

    def __enter__(self) -> "_Progress":
        super().__enter__()
        self._failed: dict[str, str] = {}
        self._published = time.monotonic()
        return self

    def failed(self, stage: Stage, why: str) -> None:
        super().failed(stage, why)
        self._failed[stage.name] = why

    def tick(self) -> None:
        super().tick()
        if time.monotonic() - self._published > PUBLISH_SECONDS:
            self._published = time.monotonic()
            self.publish(dict(self._failed))


def run(
    ablation_of: Callable[[Callable[[Config], Config]], Ablation], seeds: Sequence[int], request: Request
) -> tuple[Path, int]:
    """Perform what is missing of an ablation.

    Args:
        ablation_of: Makes the ablation, given what binds settings to their data.
        seeds: Its seeds.
        request: What the command line asks for.

    Returns:
        The ablation's folder, and the exit status: 0, or 1 if a stage failed or MLflow lacks something.

    Raises:
        UserError: If something outside has to change first.
        KeyboardInterrupt: If the user stopped it.
    """
    console = Console()
    runner = Runner(Machine(request.storage, request.data, device="cpu", shared=request.shared))
    ablation = ablation_of(lambda config: runner.bind(config, seeds))
    wanted = list(ablation.wanted())
    targets = [evaluation for one in wanted for rung in one.plan.rungs for evaluation in rung.values()]
    folder = request.storage / ablation_file.FOLDER / ablation.name
    _describe(console, runner, ablation, wanted, targets, request.power)
    if request.dry_run:
        return folder, 0
    with locked(folder):
        file = AblationFile(
            ablation, request.storage, request.data, _dataset_info(runner, ablation, request.command), request.command
        )
        ablation_file.write(folder, file)
        tracker = tracking.connect(request.tracking_uri, request.storage)
        table = None if request.table is None else functools.partial(request.table, folder, runner.store)
        failed: dict[str, str] = {}

        def publish(failed: dict[str, str], state: SweepState = "running") -> None:
            tracker.publish_soon(tracking.AblationResults(runner.store, file, failed, table, state))

        state: SweepState = "stopped"
        try:
            if runner.store.missing(targets):
                failed = _perform(console, runner, wanted, folder, request, publish)
            ablation_file.write_failed(folder, failed)
            state = "finished"
        finally:
            publish(failed, state)
            unpublished = tracker.close(CLOSE_SECONDS[state])
    return folder, 1 if failed or unpublished else 0


def _describe(
    console: Console,
    runner: Runner,
    ablation: Ablation,
    wanted: Sequence[Wanted],
    targets: Sequence[Stage],
    power: str,
) -> None:
    """Say what the table needs, what of it is there, what it costs, and what it will be able to show."""
    estimate = Estimator(runner.store, Work(runner.work_of))
    union = list(dict.fromkeys(stage for one in wanted for stage in one.plan.stages()))
    alone = sum(len(one.plan.stages()) for one in wanted)
    missing = runner.store.missing(targets)
    cost = estimate(missing)
    cores = cluster.cpus()
    if cost.seconds is None:
        from dmt_ray.execution.calibration import bare_seconds

        least = bare_seconds(runner, missing)
        time = f"about {duration(least)} in one process, {duration(least / cores)} on {cores} cores"
        todo = f"{cost.stages} stages, {cost.steps:,} optimizer steps; by a few bare steps timed just now {time}"
    else:
        parallel = f"; {duration(cost.seconds / cores)} if {cores} cores work at a time" if cost.seconds else ""
        todo = f"{cost}{parallel}"
    lines = [
        ("ablation", ablation.name),
        ("asks", ablation.title),
        ("rows", "; ".join(ablation.rows)),
        ("columns", "; ".join(ablation.columns)),
        ("seeds", ", ".join(map(str, ablation.seeds))),
        ("stages", f"{len(union)}, of which several rows share some: one by one they would be {alone}"),
        ("to do", todo),
        ("power", power),
    ]
    for title, text in lines:
        if text:
            console.print(f"[bold]{title:<8}[/bold]", end=" ")
            console.print(text, markup=False, highlight=False, soft_wrap=True)


def _dataset_info(runner: Runner, ablation: Ablation, command: str) -> dict[str, dict[str, Any]]:
    """What people want to see beside results, for each column, and for rows whose splits differ from it."""
    found: dict[str, dict[str, Any]] = {}
    for cell in sorted(ablation.cells, key=lambda cell: cell.row != ablation.reference):
        dataset_info = tracking.DatasetInfo.of(
            runner.dataset(cell.config.data), cell.config, ablation.seeds, command
        ).to_json()
        if dataset_info != found.setdefault(cell.column, dataset_info):
            found[f"{cell.column} / {cell.row}"] = dataset_info
    return found


def _perform(
    console: Console,
    runner: Runner,
    wanted: Sequence[Wanted],
    folder: Path,
    request: Request,
    publish: Callable[[dict[str, str]], None],
) -> dict[str, str]:
    """Perform what is missing; name of a stage that failed, or could not begin -> why."""
    store = runner.store
    cluster.connect(request.address, cpus=max(request.concurrent or 1, cluster.cpus()))
    from dmt_ray.execution import tasks  # needs the environment that connecting has prepared

    try:
        machine, worker_group, room = request.allocate()
        effort = Effort(runner.work_of)
        groups = [[stage for rung in one.plan.rungs for stage in rung.values()] for one in wanted]
        todo = tasks.units(store, groups, effort, grouped=worker_group.workers > 1)
        missing = store.missing(stage for group in groups for stage in group)
        names = {stage: one.name for one in reversed(wanted) for stage in one.plan.stages()}
        job = Job(machine, folder, worker_group)
        progress = _Progress(console, store, effort, missing, names)
        progress.publish = publish
        with progress:
            failed = tasks.perform(todo, job, progress, concurrent=room)
        return {stage.name: why for stage, why in failed.items()}
    finally:
        cluster.disconnect()
        journal.end_all(folder)
        store.tidy()
        store.upload()
