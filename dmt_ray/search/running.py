"""Runs a sweep from the first check to the summary."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from dmt_ray import tracking
from dmt_ray.commandline import command_line
from dmt_ray.config import Config
from dmt_ray.crew import hire
from dmt_ray.runner import Machine, Runner
from dmt_ray.search import cluster, dry_run, faults, publishing, summary, sweep_file
from dmt_ray.search.effort import Effort
from dmt_ray.search.progress import Progress
from dmt_ray.search.replay import Replay
from dmt_ray.search.study import Study, newest_attempt, only_one
from dmt_ray.search.sweep import State, Sweep
from dmt_ray.search.sweep_file import SweepFile
from dmt_ray.search.trial import Work
from dmt_ray.tracking import About
from dmt_ray.tracking.results import SweepState


@dataclass(frozen=True)
class Request:
    """What the command line asks for; None means: decide yourself.

    Attributes:
        recipe: Recipe as it was given.
        changes: Overrides as they were given.
        seeds: Seeds of every trial.
        trials: Trials in all; None: all points of the grid.
        storage: Folder of the results, absolute.
        data: Folder of the data set, absolute; None: below the variable DMT_DATA.
        address: Ray cluster; None: a local Ray.
        concurrent: Trials at a time; None: as many as there is room for.
        workers: Workers of a trial: 1, or an even number.
        gpus: GPUs of a worker; None: 1 where there are GPUs.
        cpus: CPUs of a worker.
        compiled: Whether networks go through torch.compile.
        shared: URL of an object store that the machines share; None: they all see the storage folder.
        stall_seconds: After so long without progress a worker is taken to hang.
        tracking_uri: MLflow; None: in the storage folder.
        dry_run: Only say what would be done.
        fresh: Set the old study aside.
        command: The command line.
    """

    recipe: str
    changes: tuple[str, ...]
    seeds: tuple[int, ...]
    trials: int | None
    storage: Path
    data: Path | None
    address: str | None
    concurrent: int | None
    workers: int
    gpus: float | None
    cpus: int
    compiled: bool
    shared: str | None
    stall_seconds: float
    tracking_uri: str | None
    dry_run: bool
    fresh: bool
    command: tuple[str, ...]


class _Progress(Progress):
    """Progress that also has a sweep published when a trial ends."""

    publish: Callable[[], None]

    def ended(self, number: int, state: State) -> None:
        super().ended(number, state)
        self.publish()


def run(sweep_of: Callable[[Config], Sweep], config: Config, request: Request) -> int:
    """Run a sweep, or go on with it.

    Args:
        sweep_of: Makes the sweep of settings that are bound to their data.
        config: Settings, not bound yet.
        request: What the command line asks for.

    Returns:
        0, or 1 if a trial failed or MLflow lacks something.

    Raises:
        UserError: If something outside has to change first.
        KeyboardInterrupt: If the user stopped it.
    """
    console = Console()
    runner = Runner(Machine(request.storage, request.data, device="cpu", shared=request.shared))
    sweep = sweep_of(runner.bind(config, request.seeds))
    total = request.trials or len(sweep.points())
    if request.dry_run:
        dry_run.describe(console, sweep, runner.store, runner.work_of, total)
        return 0
    sweep = newest_attempt(request.storage / "sweeps", sweep, fresh=request.fresh)
    folder = request.storage / "sweeps" / sweep.name
    with only_one(folder):
        study = Study(folder, sweep, total)
        command = command_line("python", *request.command)
        about = About.of(runner.dataset(sweep.config.data), sweep.config, sweep.seeds, command)
        replay = Replay(request.recipe, request.changes, request.storage, request.data)
        file = SweepFile(sweep, total, replay, about.to_json())
        sweep_file.write(folder, file)
        tracker = tracking.connect(request.tracking_uri, request.storage)
        state: SweepState = "stopped"
        unpublished: tuple[str, ...] = ()
        try:
            if study.remaining:

                def publish() -> None:
                    tracker.publish_soon(publishing.results(folder, file, runner.store, "running"))

                _perform(console, study, runner, request, publish)
            else:
                console.print(f"{sweep.name}: all {total} trials are done; with a larger --trials it goes on")
            state = "finished"
        finally:
            tracker.publish_soon(publishing.results(folder, file, runner.store, state))
            if state == "finished":
                summary.show(console, sweep, runner.store, folder, study.trials(), replay)
            unpublished = tracker.close()
    return 1 if unpublished or any(trial.state == "failed" for trial in study.trials()) else 0


def _perform(console: Console, study: Study, runner: Runner, request: Request, publish: Callable[[], None]) -> None:
    sweep, store = study.sweep, runner.store
    found = sum(trial.state in ("complete", "pruned") for trial in study.trials())
    past = f", {found} of them done before" if found else ""
    console.print(
        f"{sweep.name}: {study.total} trials{past}; results in {request.storage}", highlight=False, soft_wrap=True
    )
    cores = len(os.sched_getaffinity(0))
    cluster.connect(request.address, cpus=max(request.concurrent or 1, cores) if request.workers == 1 else cores)
    from dmt_ray.search import tuning  # needs the environment that connecting has prepared

    try:
        if request.address is not None:
            cluster.check_nodes(None if request.shared else request.storage, request.data)
        crew, room = hire(cluster.nodes(), request.workers, cpus=request.cpus, gpus=request.gpus)
        # So that no two trials ever wait for each other's workers.
        concurrent = min(request.concurrent or room, room, study.remaining)
        machine = Machine(
            request.storage,
            request.data,
            device="cuda" if crew.gpus else "cpu",
            threads=crew.cpus,
            shared=request.shared,
            compiled=request.compiled,
            stall_seconds=request.stall_seconds,
        )
        work = Work(sweep, machine, study.folder, crew)
        progress = _Progress(sweep, store, Effort(runner), console, study.trials(), study.total)
        progress.publish = publish
        with progress:
            tuning.run_shared(store, work, progress, concurrent=concurrent)
            tuning.run_trials(study, work, progress, concurrent=concurrent)
    finally:
        cluster.disconnect()
        faults.forget_all(study.folder)
        store.tidy()
        store.upload()
    if study.remaining or any(trial.state == "running" for trial in study.trials()):
        raise KeyboardInterrupt
