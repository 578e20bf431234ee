"""`dmt run`, `dmt plan` and `dmt methods`: single experiments, and what there is to choose from."""

import argparse
import contextlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dmt_ray.cli.options import STALL_SECONDS, check_workers, command_line
from dmt_ray.config import nearest
from dmt_ray.errors import ConfigError

if TYPE_CHECKING:
    from dmt_ray.config import Config, Task
    from dmt_ray.execution.runner import Runner
    from dmt_ray.methods import Method
    from dmt_ray.plan import Stage


def run_method(options: argparse.Namespace) -> int | None:
    """Perform a plan, in this process or by a worker group, and say what came out."""
    check_workers(options)
    alone = {"--address": options.address, "--gpus-per-worker": options.gpus_per_worker}
    given = [name for name, value in alone.items() if value is not None]
    if options.workers == 1 and given:
        raise ConfigError(f"{' and '.join(given)} is for --workers 2 or more; one worker is this process, on --device")
    if options.dry_run:
        return plan_method(options)
    config, method = _experiment(options)
    if options.workers > 1:
        from dmt_ray.execution import cluster

        cluster.prepare()
    from rich.console import Console

    from dmt_ray import tracking
    from dmt_ray.execution.cost import Effort
    from dmt_ray.execution.progress import Progress
    from dmt_ray.execution.runner import Machine, Runner
    from dmt_ray.plan.measures import MEASURES, measure_of
    from dmt_ray.results.scores import collapsed, score

    machine = Machine(
        options.storage.absolute(),
        None if options.data is None else options.data.absolute(),
        options.device,
        options.threads,
        options.shared_store,
        options.compile,
    )
    runner = Runner(machine)
    config = runner.bind(config, [options.seed])
    plan = method(config, options.seed)
    tracker = tracking.connect(options.tracking_uri, options.storage)
    targets = [stage for rung in plan.rungs for stage in rung.values()]
    effort = Effort(runner.work_of)
    with Progress(Console(stderr=True), runner.store, effort, runner.store.missing(targets)) as progress:
        runner.on_progress = progress.step
        executed = _by_worker_group(options, runner, targets) if options.workers > 1 else runner.perform(targets)
    print(f"{len(executed)} stages computed, {len(plan.stages()) - len(executed)} found in {options.storage}\n")
    titles = [f"{which} {MEASURES[measure_of(config.data)]}" for which in ("selection", "reported")]
    print(f"{'rung':>4}  {'model':5}  {titles[0]}  {titles[1]}")
    for number, rung in enumerate(plan.rungs):
        for side, evaluation in rung.items():
            scores = [100 * score(runner.store, evaluation, which) for which in ("selection", "reported")]
            cells = (f"{value:>{len(title) - 2}.2f} %" for title, value in zip(titles, scores, strict=True))
            print(f"{number:>4}  {side:5}  {'  '.join(cells)}")
    for number in range(len(plan.rungs)):
        for sentence in collapsed(runner.store, plan, number).values():
            print(f"warning: {sentence}")
    dataset_info = tracking.DatasetInfo.of(
        runner.dataset(config.data), config, [options.seed], command_line("dmt", *sys.argv[1:])
    )
    results = tracking.RunResults(options.method, config, options.seed, plan, runner.store, dataset_info)
    tracking.keep(options.storage, results)
    tracker.publish_soon(results)
    if tracker.close():
        return 1
    print(f"\nin MLflow: {tracker.uri} (browse it with `dmt ui --storage {options.storage}`)")
    return None


def _by_worker_group(options: argparse.Namespace, runner: "Runner", wanted: "list[Stage]") -> "list[Stage]":
    from dmt_ray.execution import cluster
    from dmt_ray.execution.worker_group import GroupRunner, allocate

    cluster.connect(options.address, cpus=cluster.cpus())
    try:
        if options.address is not None:
            cluster.check_nodes(None if options.shared_store else runner.machine.store, runner.machine.data)
        worker_group, _ = allocate(
            cluster.nodes(), options.workers, cpus=options.cpus_per_worker, gpus=options.gpus_per_worker
        )
        machine = replace(runner.machine, stall_seconds=STALL_SECONDS)
        return GroupRunner(machine, worker_group, runner.on_progress).perform(wanted)
    finally:
        cluster.disconnect()
        runner.store.tidy()
        runner.store.upload()


def plan_method(options: argparse.Namespace) -> int:
    """Print a plan and what it would cost."""
    config, method = _experiment(options)
    from dmt_ray.execution.cost import estimate
    from dmt_ray.execution.runner import Machine, Runner

    runner = Runner(Machine(options.storage, options.data, options.device, shared=options.shared_store))
    plan = method(runner.bind(config, [options.seed]), options.seed)
    missing = runner.store.missing(stage for rung in plan.rungs for stage in rung.values())
    print(plan.explain(mark={stage: "to do" for stage in missing}))
    print(f"\nin all:  {estimate(plan.stages(), runner.store, runner.work_of)}")
    print(f"missing: {estimate(missing, runner.store, runner.work_of)}")
    return 0


def _experiment(options: argparse.Namespace) -> tuple["Config", "Method"]:
    """Settings and method, checked as far as that goes without the data, before anything heavy is imported."""
    from dmt_ray.methods import METHODS
    from dmt_ray.recipes import load

    if options.method not in METHODS:
        raise ConfigError(f"there is no method {options.method!r}; {nearest(options.method, METHODS)}")
    if options.seed < 0:
        raise ConfigError(f"--seed must be 0 or more, but got {options.seed}")
    return load(options.recipe, options.changes), METHODS[options.method]


def list_methods(options: argparse.Namespace) -> None:
    """Print methods, with their tasks and what can be searched in them, and recipes."""
    from dmt_ray.methods import METHODS, space_of
    from dmt_ray.recipes import RECIPES

    print("methods")
    for name, method in METHODS.items():
        print(f"  {name:16}{_first_line(method)}")
        spaces = {task: ", ".join(space_of(name, task)) for task in _tasks(method)}
        for settings in dict.fromkeys(spaces.values()):
            tasks = " and ".join(task for task, own in spaces.items() if own == settings)
            print(textwrap.indent(textwrap.fill(f"for {tasks}; searched: {settings}", 100), " " * 20))
    print("recipes")
    for name, recipe in RECIPES.items():
        print(f"  {name:16}{_first_line(recipe)}")


def _first_line(function: Callable[..., Any]) -> str:
    return (function.__doc__ or "").splitlines()[0]


def _tasks(method: "Method") -> "Iterator[Task]":
    """What a method is for: whether it makes a plan for such data."""
    from dmt_ray.config import DigitsData, ShapesData
    from dmt_ray.recipes import named

    for data in (ShapesData(), DigitsData()):
        with contextlib.suppress(ConfigError):
            method(named("shapes").evolve(data=data), 0)
            yield data.task
