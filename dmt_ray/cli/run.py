"""`dmt run` and `dmt plan`: single experiments."""

import argparse
import os
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from dmt_ray.cli.options import absolute_files, begin, read
from dmt_ray.commands import command_line, runnable
from dmt_ray.config import nearest
from dmt_ray.errors import ConfigError
from dmt_ray.execution.options import Options

if TYPE_CHECKING:
    from dmt_ray.config import Config
    from dmt_ray.execution.runner import Machine, Runner
    from dmt_ray.experiments.experiment_file import ExperimentFile
    from dmt_ray.methods import Method
    from dmt_ray.plan import Plan, Stage


@dataclass(frozen=True, kw_only=True)
class RunOptions(Options):
    """What the command line of a run says.

    Attributes:
        recipe: Recipe as it was given.
        changes: Overrides as they were given.
        method: A name in `methods.METHODS`.
        seed: Seed of everything that is random.
        device: Of a single worker, which is this process.
        threads: Its CPU threads; None: all cores.
    """

    recipe: str
    changes: tuple[str, ...]
    method: str
    seed: int
    device: str = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ConfigError(f"--seed must be 0 or more, but got {self.seed}")
        super().__post_init__()
        group = {"--address": self.address, "--gpus-per-worker": self.gpus}
        given = [name for name, value in group.items() if value is not None] + ["--cpus-per-worker"] * (self.cpus > 1)
        if self.workers == 1 and given:
            raise ConfigError(
                f"{' and '.join(given)} is for --workers 2 or more; one worker is this process, on --device"
            )
        given = ["--device"] * (self.device != "auto") + ["--threads"] * (self.threads is not None)
        if self.workers > 1 and given:
            raise ConfigError(
                f"{' and '.join(given)} is for a single worker; --gpus-per-worker and --cpus-per-worker say what each "
                f"of {self.workers} workers has"
            )

    def experiment(self) -> "tuple[Config, Method]":
        """Settings and method, checked as far as that goes without the data, before anything heavy is imported."""
        from dmt_ray.methods import METHODS, configure
        from dmt_ray.recipes import load

        if self.method not in METHODS:
            raise ConfigError(f"there is no method {self.method!r}; {nearest(self.method, METHODS)}")
        method = METHODS[self.method]
        return load(self.recipe, self.changes, partial(configure, method)), method

    def machine(self) -> "Machine":
        """This process as the one that performs the work."""
        from dmt_ray.execution.runner import Machine

        threads = self.threads or os.cpu_count() or 1
        return Machine(self.storage, self.data, self.device, threads, self.shared, self.compiled)


def run_method(namespace: argparse.Namespace) -> int:
    """Perform a plan, in this process or by a worker group, and say what came out."""
    options = _read(namespace)
    if options.dry_run:
        return plan_method(namespace)
    config, _ = options.experiment()
    begin(f"{options.method} on {config.recipe}, seed {options.seed}; results in {options.storage}")
    if options.workers > 1:
        from dmt_ray.execution import cluster

        cluster.prepare()
    from rich.console import Console

    from dmt_ray import tracking
    from dmt_ray.execution.cost import Effort
    from dmt_ray.execution.progress import Progress
    from dmt_ray.execution.runner import Runner
    from dmt_ray.experiments.dataset_info import DatasetInfo
    from dmt_ray.experiments.driver import session
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
    targets = [stage for rung in plan.rungs for stage in rung.values()]
    connect = partial(tracking.connect, options.tracking_uri, options.storage)
    with session(file, connect, lambda state: publishing.of_run(file, runner.store)) as one:
        missing = runner.store.missing(targets)
        with Progress(Console(stderr=True), runner.store, Effort(runner.work_of), missing) as progress:
            runner.on_progress = lambda *_: progress.tick()
            perform = _by_worker_group if options.workers > 1 else _in_this_process
            executed = perform(options, runner, file, targets)
        one.state = "finished"
        _show(runner, plan, executed, options)
    if one.unpublished:
        return 1
    browse = command_line("dmt", "ui", "--storage", str(options.storage))
    print(runnable(f"\nin MLflow: {one.publisher.uri} (browse it with `{browse}`)"))
    return 0


def _in_this_process(
    options: RunOptions, runner: "Runner", file: "ExperimentFile", targets: "list[Stage]"
) -> "list[Stage]":
    return runner.perform(targets)


def _by_worker_group(
    options: RunOptions, runner: "Runner", file: "ExperimentFile", targets: "list[Stage]"
) -> "list[Stage]":
    from dmt_ray.execution.worker_group import GroupRunner
    from dmt_ray.experiments.driver import on_ray

    with on_ray(options, runner.store, file) as (job, _):
        return GroupRunner(job.machine, job.worker_group, runner.on_progress).perform(targets)


def _show(runner: "Runner", plan: "Plan", executed: "list[Stage]", options: RunOptions) -> None:
    from dmt_ray.plan.measures import MEASURES
    from dmt_ray.results.scores import collapsed, measure, score

    print(f"{len(executed)} stages computed, {len(plan.stages()) - len(executed)} found in {options.storage}\n")
    name = MEASURES[measure(runner.store, next(iter(plan.rungs[0].values())))]
    titles = [f"validation {name}", f"test {name}"]
    print(f"{'rung':>4}  {'model':5}  {titles[0]}  {titles[1]}")
    for number, rung in enumerate(plan.rungs):
        for side, evaluation in rung.items():
            scores = [100 * score(runner.store, evaluation, which) for which in ("selection", "reported")]
            cells = (f"{value:>{len(title) - 2}.2f} %" for title, value in zip(titles, scores, strict=True))
            print(f"{number:>4}  {side:5}  {'  '.join(cells)}")
    for number in range(len(plan.rungs)):
        for sentence in collapsed(runner.store, plan, number).values():
            print(f"warning: {sentence}")


def plan_method(namespace: argparse.Namespace) -> int:
    """Print a plan and what it would cost."""
    options = _read(namespace)
    config, method = options.experiment()
    if not getattr(namespace, "json", False):
        begin(f"the plan of {options.method} on {config.recipe}, seed {options.seed}")
    from dmt_ray.execution.cost import Estimator
    from dmt_ray.execution.runner import Runner

    runner = Runner(options.machine())
    plan = method(runner.bind(config, [options.seed]), options.seed)
    missing = runner.store.missing(stage for rung in plan.rungs for stage in rung.values())
    estimate = Estimator(runner.store, runner.work_of)
    if getattr(namespace, "json", False):
        from dmt_ray.cli.documents import PlanDocument

        what = (options.method, config.recipe, options.seed)
        PlanDocument.of(what, plan, missing, (estimate(plan.stages()), estimate(missing))).show()
        return 0
    print(plan.explain(mark={stage: "to do" for stage in missing}))
    print(f"\nin all:  {estimate(plan.stages())}")
    print(f"missing: {estimate(missing)}")
    return 0


def _read(namespace: argparse.Namespace) -> RunOptions:
    absolute_files(namespace)
    return read(RunOptions, namespace, seeds=(max(0, namespace.seed),), command=command_line("dmt", *sys.argv[1:]))
