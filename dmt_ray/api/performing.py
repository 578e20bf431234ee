"""Perform one method on its settings, from the first check to publication in MLflow."""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from dmt_ray.api.options import RunOptions
from dmt_ray.api.results import RunResults
from dmt_ray.config import Config
from dmt_ray.errors import ConfigError
from dmt_ray.experiments import reproduce
from dmt_ray.methods import METHODS, Method
from dmt_ray.plan import Stage


class Performed(NamedTuple):
    """The outcome of a run.

    Attributes:
        results: Scores, figures, networks.
        tracking_uri: MLflow, without a password; None: the results are somebody else's, whose folder cannot be written.
        unpublished: Names of what MLflow still lacks.
    """

    results: RunResults
    tracking_uri: str | None
    unpublished: tuple[str, ...]


def perform(
    config: Config,
    method: str | Method = "dmt",
    *,
    seed: int = 0,
    storage: str | os.PathLike[str] = "runs",
    data: str | os.PathLike[str] | None = None,
    device: str = "auto",
    threads: int | None = None,
    workers: int = 1,
    cpus_per_worker: int = 1,
    gpus_per_worker: float | None = None,
    address: str | None = None,
    compile: bool = False,
    shared_store: str | None = None,
    tracking_uri: str | None = None,
    progress: bool = True,
) -> RunResults:
    """Run one method, reusing whatever is already in the store; same options as `dmt run`.

    Args:
        config: Settings, as `recipe` and `override` make them.
        method: A name in `METHODS`, or a method that is registered there.
        seed: Seed of everything that is random, 0 or larger.
        storage: Folder of the results.
        data: Folder of the data set; None: below the environment variable DMT_DATA.
        device: "auto", "cpu", "cuda", "cuda:1", ...: of a single worker, which is this process.
        threads: Its CPU threads; None: all cores.
        workers: 1, or an even number of processes that train one plan together on Ray.
        cpus_per_worker: CPUs of each of them.
        gpus_per_worker: GPUs of each of them, from 0 to 1; None: 1 where there are GPUs.
        address: Ray cluster that they run on; None: a local Ray.
        compile: Whether networks go through torch.compile.
        shared_store: URL of an object store in which machines share their stages.
        tracking_uri: MLflow; None: mlflow.db in the storage folder.
        progress: Whether to show how far it is.

    Raises:
        UserError: If settings, data or options cannot be used, or a stage fails. What was finished is kept.
    """
    if not isinstance(config, Config):
        raise ConfigError(f"config must be settings, such as dmt_ray.recipe('shapes'), but got {config!r}")
    if not isinstance(seed, int):
        raise ConfigError(f"seed must be a whole number from 0 on, but got {seed!r}")
    name = method if isinstance(method, str) else _name_of(method)
    METHODS[name]  # raises where there is none
    changes = reproduce.changes_of(config, METHODS[name])
    options = RunOptions(
        recipe=config.recipe,
        changes=changes or (),
        method=name,
        seed=seed,
        seeds=(max(0, seed),),
        storage=Path(storage).absolute(),
        data=None if data is None else Path(data).absolute(),
        device=device,
        threads=threads,
        workers=workers,
        cpus=cpus_per_worker,
        gpus=gpus_per_worker,
        address=address,
        compiled=compile,
        shared=shared_store,
        tracking_uri=tracking_uri,
    )
    if changes is not None:
        command = reproduce.of_settings(config.recipe, name, changes, options.storage, options.data, [seed])
        options = replace(options, command=command)
    return perform_run(config, options, Console(stderr=True, markup=False, quiet=not progress)).results


def perform_run(
    config: Config, options: RunOptions, console: Console, show: Callable[[RunResults], None] = lambda _: None
) -> Performed:
    """Perform the run that some options describe.

    Args:
        config: The settings.
        options: Everything else.
        console: Where progress is shown.
        show: Called with the results before they are published, which may take a while.

    Raises:
        UserError: As of `perform`.
    """
    if options.workers > 1:
        from dmt_ray.execution import cluster

        cluster.prepare()  # before anything imports ray
    from dmt_ray import tracking
    from dmt_ray.execution.cost import Effort
    from dmt_ray.execution.progress import Progress
    from dmt_ray.execution.runner import Runner
    from dmt_ray.experiments.dataset_info import DatasetInfo
    from dmt_ray.experiments.driver import Session, on_ray, session
    from dmt_ray.experiments.experiment_file import ExperimentFile
    from dmt_ray.experiments.run import Run
    from dmt_ray.report import publishing

    runner = Runner(options.machine())
    config = runner.bind(config, [options.seed])
    run = Run(options.method, config, options.seed)
    info = DatasetInfo.of(runner.dataset(config.data), config, [options.seed], options.command)
    where = (options.storage, options.data, options.recipe, options.changes)
    file = ExperimentFile(run, *where, dataset_info=info.to_json(), command=options.command)
    plan = run.plan()
    runner.check(plan.stages())
    targets = plan.targets()

    if not runner.store.missing(targets) and not os.access(options.storage, os.W_OK):
        results = RunResults(run, runner.store, info, [])
        show(results)
        return Performed(results, None, ())

    def compute(current: Session) -> list[Stage]:
        if options.workers == 1:
            current.register(file)
            return runner.perform(targets)
        from dmt_ray.execution.worker_group import GroupRunner

        with on_ray(options, runner.store, file.folder) as (job, _):
            current.register(file)
            return GroupRunner(job.machine, job.worker_group, runner.on_progress).perform(targets)

    connect = partial(tracking.connect, options.tracking_uri, options.storage)
    with session(connect, lambda state: publishing.of_run(file, runner.store)) as current:
        missing = runner.store.missing(targets)
        with Progress(console, runner.store, Effort(runner.work_of), missing) as progress:
            runner.on_progress = lambda *_: progress.tick()
            executed = compute(current)
        current.state = "finished"
        results = RunResults(run, runner.store, info, executed)
        show(results)
    return Performed(results, current.publisher.uri, current.unpublished)


def _name_of(method: Method) -> str:
    for name, known in METHODS.usable()[0].items():
        if known is method:
            return name
    raise ConfigError(
        f"{getattr(method, '__name__', method)!r} is not a registered method; decorate it with @dmt_ray.method"
    )
