"""Runs a sweep from the first check to the summary."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

from rich.console import Console

from dmt_ray import tracking
from dmt_ray.cli import dry_run
from dmt_ray.cli.options import command_line
from dmt_ray.cli.request import Asked
from dmt_ray.config import Config
from dmt_ray.errors import DataError
from dmt_ray.execution import cluster, journal
from dmt_ray.execution.effort import Effort
from dmt_ray.execution.effort import Work as Measured
from dmt_ray.execution.runner import Machine, Runner
from dmt_ray.execution.sweep_progress import Progress
from dmt_ray.experiments import reuse, sweep_file
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.experiments.reproduce_sweep import Replay
from dmt_ray.experiments.sweep import Params, State, Sweep
from dmt_ray.experiments.sweep_file import SweepFile
from dmt_ray.report import confirmation, publishing_sweep, summary
from dmt_ray.search import confirm
from dmt_ray.search.confirm import Confirmation
from dmt_ray.search.study import Study, newest_attempt, only_one
from dmt_ray.search.trial import Work
from dmt_ray.store import Store
from dmt_ray.tracking.results import SweepState


@dataclass(frozen=True, kw_only=True)
class Request(Asked):
    """What the command line of a search asks for.

    Attributes:
        recipe: Recipe as it was given.
        changes: Overrides as they were given.
        seeds: Seeds of every trial.
        trials: Trials in all; None: all points of the grid.
        fresh: Set the old study aside.
        command: The command line.
        sampler: A name in `samplers.SAMPLERS`.
        pruner: A name in `script.PRUNERS`.
        confirm: Fresh seeds on which the best trial and the recipe are run again.
    """

    recipe: str
    changes: tuple[str, ...]
    seeds: tuple[int, ...]
    trials: int | None
    fresh: bool
    command: tuple[str, ...]
    sampler: str = "tpe"
    pruner: str = "median"
    confirm: tuple[int, ...] = ()


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
    sweep = sweep_of(runner.bind(config, [*request.seeds, *request.confirm]))
    total = request.trials or len(sweep.points())
    _check_points(sweep, runner, total)
    if request.dry_run:
        dry_run.describe(console, sweep, runner.store, runner.work_of, total, request.confirm)
        return 0
    sweep = newest_attempt(request.storage / "sweeps", sweep, fresh=request.fresh)
    folder = request.storage / "sweeps" / sweep.name
    with only_one(folder):
        work_of = Measured(runner.work_of)

        def compute(params: Params) -> float:
            stages = [stage for plan in sweep.plans(params).values() for stage in plan.stages()]
            return reuse.compute(stages, work_of) / len(sweep.seeds)

        study = Study(folder, sweep, total, sampler=request.sampler, pruner=request.pruner, compute=compute)
        command = command_line("python", *request.command)
        seeds = [*sweep.seeds, *request.confirm]
        dataset_info = DatasetInfo.of(runner.dataset(sweep.config.data), sweep.config, seeds, command)
        replay = Replay(request.recipe, request.changes, request.storage, request.data)
        file = SweepFile(sweep, total, replay, dataset_info.to_json())
        sweep_file.write(folder, file)
        tracker = tracking.connect(request.tracking_uri, request.storage)
        unpublished: tuple[str, ...] = ()
        try:
            if not study.remaining:
                console.print(f"{sweep.name}: all {total} trials are done; with a larger --trials it goes on")
            if study.remaining or _missing(study, runner.store, request):

                def publish() -> None:
                    tracker.publish_soon(publishing_sweep.results(folder, file, runner.store, "running"))

                _perform(console, study, runner, request, publish)
        finally:
            state: SweepState = "stopped" if _interrupted(study) else "finished"
            confirmed = _to_confirm(study, request) if state == "finished" else None
            if confirmed is not None and not _missing(study, runner.store, request):
                confirm.write(folder, confirm.result(confirmed, runner.store))
                for run in confirmed.runs(runner.store, dataset_info):
                    tracking.keep(request.storage, run)
                    tracker.publish_soon(run)
            tracker.publish_soon(publishing_sweep.results(folder, file, runner.store, state))
            if state == "finished":
                summary.show(console, sweep, runner.store, folder, study.trials(), replay)
                if confirmed is not None:
                    confirmation.show(console, confirmed, folder)
            unpublished = tracker.close()
    return 1 if unpublished or any(trial.state == "failed" for trial in study.trials()) else 0


def _check_points(sweep: Sweep, runner: Runner, total: int) -> None:
    """Find out before the work begins which known points the data cannot be divided for."""
    seen = {(sweep.config.split, sweep.config.dms_alpha)}
    for point in sweep.points()[:total]:
        config = sweep.config_of(point)
        if (config.split, config.dms_alpha) not in seen:
            seen.add((config.split, config.dms_alpha))
            try:
                runner.bind(config, sweep.seeds)
            except DataError as error:
                told = f"split.labelled={config.split.labelled:g} dms_alpha={config.dms_alpha:g}"
                raise DataError(f"a known point cannot be tried ({told}): {error}") from None


def _to_confirm(study: Study, request: Request) -> Confirmation | None:
    """What is to be run again on fresh seeds, if that is asked for and a trial is complete."""
    return confirm.confirmation(study.sweep, study.trials(), request.confirm) if request.confirm else None


def _missing(study: Study, store: Store, request: Request) -> bool:
    wanted = _to_confirm(study, request)
    return wanted is not None and bool(store.missing(wanted.stages()))


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
        machine, worker_group, room = request.allocate()  # so that no two trials ever wait for each other's workers
        work = Work(machine, study.folder, worker_group, sweep)
        if study.remaining:
            progress = _Progress(sweep, store, Effort(runner), console, study.trials(), study.total)
            progress.publish = publish
            with progress:
                concurrent = min(room, study.remaining)
                tuning.run_shared(store, work, progress, concurrent=concurrent)
                tuning.run_trials(study, work, progress, concurrent=concurrent)
        if _interrupted(study):
            raise KeyboardInterrupt
        if (wanted := _to_confirm(study, request)) is not None:
            _confirm(console, wanted, store, work, room)
    finally:
        cluster.disconnect()
        journal.forget_all(study.folder)
        store.tidy()
        store.upload()


def _interrupted(study: Study) -> bool:
    return study.remaining > 0 or any(trial.state == "running" for trial in study.trials())


def _confirm(console: Console, wanted: Confirmation, store: Store, work: Work, room: int) -> None:
    """Run the best trial and the recipe again on fresh seeds."""
    from dmt_ray.search import tuning

    stages, seeds = wanted.stages(), ", ".join(map(str, wanted.seeds))
    missing = len(store.missing(stages))
    who = " and the ".join(candidate.name for candidate in wanted.candidates())
    console.print(f"confirm: the {who} on seeds {seeds}: {len(stages)} stages, {missing} to do", highlight=False)
    folder = work.folder / "confirm"  # who computed what, and what went wrong, is no trial's
    folder.mkdir(exist_ok=True)
    watcher = confirm.Lines(console, store, stages)
    what = "a stage on the fresh seeds"
    tuning.run_stages(stages, store, replace(work, folder=folder), watcher, concurrent=room, what=what)
    journal.forget_all(folder)
