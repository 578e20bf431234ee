"""`dmt run`, `dmt plan` and `dmt methods`: single experiments, and what there is to choose from."""

import argparse
import contextlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from dmt_ray.api.options import RunOptions
from dmt_ray.cli.options import read
from dmt_ray.errors import ConfigError
from dmt_ray.experiments.reproduce import command_line

if TYPE_CHECKING:
    from dmt_ray.api.results import RunResults
    from dmt_ray.config import Task
    from dmt_ray.methods import Method


def run_method(namespace: argparse.Namespace) -> int:
    """Perform a plan, in this process or by a worker group, and say what came out."""
    options = _read(namespace)
    if options.dry_run:
        return plan_method(namespace)
    config, _ = options.experiment()
    from rich.console import Console

    from dmt_ray.api.performing import perform_run

    done = perform_run(config, options, Console(stderr=True), partial(_show, options))
    if done.unpublished:
        return 1
    print(f"\nin MLflow: {done.tracking_uri} (browse it with `dmt ui --storage {options.storage}`)")
    return 0


def _show(options: RunOptions, results: "RunResults") -> None:
    from dmt_ray.plan.measures import MEASURES, measure_of
    from dmt_ray.results.scores import collapsed

    plan, executed = results.plan, len(results.executed)
    print(f"{executed} stages computed, {len(plan.stages()) - executed} found in {options.storage}\n")
    measure = measure_of(results.config.data)
    titles = [f"{images} {MEASURES[measure]}" for images in ("validation", "test")]
    print(f"{'rung':>4}  {'model':5}  {titles[0]}  {titles[1]}")
    for line in results.scores().to_dict("records"):
        scores = [100 * line[f"{images}_{measure}"] for images in ("validation", "test")]
        cells = (f"{value:>{len(title) - 2}.2f} %" for title, value in zip(titles, scores, strict=True))
        print(f"{line['rung']:>4}  {line['model']:5}  {'  '.join(cells)}")
    for number in range(len(plan.rungs)):
        for sentence in collapsed(results.store, plan, number).values():
            print(f"warning: {sentence}")


def plan_method(namespace: argparse.Namespace) -> int:
    """Print a plan and what it would cost."""
    options = _read(namespace)
    config, method = options.experiment()
    from dmt_ray.execution.cost import Estimator
    from dmt_ray.execution.runner import Runner

    runner = Runner(options.machine())
    plan = method(runner.bind(config, [options.seed]), options.seed)
    missing = runner.store.missing(stage for rung in plan.rungs for stage in rung.values())
    print(plan.explain(mark={stage: "to do" for stage in missing}))
    estimate = Estimator(runner.store, runner.work_of)
    print(f"\nin all:  {estimate(plan.stages())}")
    print(f"missing: {estimate(missing)}")
    return 0


def _read(namespace: argparse.Namespace) -> RunOptions:
    return read(RunOptions, namespace, seeds=(max(0, namespace.seed),), command=command_line("dmt", *sys.argv[1:]))


def list_methods(options: argparse.Namespace) -> None:
    """Print methods, with their tasks and what can be searched in them, and recipes."""
    from dmt_ray.methods import METHODS, declared
    from dmt_ray.recipes import RECIPES

    print("methods")
    methods, faults = METHODS.usable()
    for fault in faults:
        print(f"warning: {fault}", file=sys.stderr)
    for name, method in methods.items():
        print(f"  {name:16}{_first_line(method)}")
        spaces = {task: ", ".join(declared(method, task) or ["nothing"]) for task in _tasks(method)}
        for settings in dict.fromkeys(spaces.values()):
            tasks = " and ".join(task for task, own in spaces.items() if own == settings)
            print(textwrap.indent(textwrap.fill(f"for {tasks}; searched: {settings}", 100), " " * 20))
    print("recipes")
    for name, recipe in RECIPES.items():
        print(f"  {name:16}{_first_line(recipe)}")


def _first_line(function: Callable[..., Any]) -> str:
    return (function.__doc__ or "").partition("\n")[0]


def _tasks(method: "Method") -> "Iterator[Task]":
    """What a method is for: whether it makes a plan for such data."""
    from dmt_ray.recipes import named

    for data in (named("shapes").data, named("digits").data):
        with contextlib.suppress(ConfigError):
            method(named("shapes").evolve(data=data), 0)
            yield data.task
