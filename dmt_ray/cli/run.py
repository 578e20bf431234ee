"""`dmt run` and `dmt plan`: single experiments."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from dmt_ray.api.options import RunOptions
from dmt_ray.cli.options import absolute_files, begin, read, warn
from dmt_ray.experiments.commands import command_line, runnable
from dmt_ray.experiments.unread import Work, unread
from dmt_ray.plan.words import counted

if TYPE_CHECKING:
    from dmt_ray.api.results import RunResults
    from dmt_ray.config import Config
    from dmt_ray.methods import Method


def run_method(namespace: argparse.Namespace) -> int:
    """Perform a plan, in this process or by a worker group, and say what came out."""
    options = _read(namespace)
    if options.dry_run:
        return plan_method(namespace)
    config, _ = options.experiment()
    begin(f"{options.method} on {config.recipe}, seed {options.seed}; results in {options.storage}")
    _warn_of_unread(options)
    from rich.console import Console

    from dmt_ray.api.performing import perform_run
    from dmt_ray.execution.interruption import answered

    with answered():
        done = perform_run(config, options, Console(stderr=True, markup=False), partial(_show, options))
    if done.unpublished:
        return 1
    if done.tracking_uri is None:
        print(f"\nnot published to MLflow: cannot write to {options.storage}")
        return 0
    browse = command_line("dmt", "ui", "--storage", str(options.storage))
    print(runnable(f"\nin MLflow: {done.tracking_uri} (browse it with `{browse}`)"))
    return 0


def _show(options: RunOptions, results: "RunResults") -> None:
    from dmt_ray.plan.measures import MEASURES, measure_of
    from dmt_ray.results.scores import collapsed

    plan, executed = results.plan, len(results.executed)
    print(f"{counted(executed, 'stage')} computed, {len(plan.stages()) - executed:,} found in {options.storage}\n")
    measure = measure_of(results.config.data)
    titles = [f"{images} {MEASURES[measure]}" for images in ("validation", "test")]
    lines = results.scores().to_dict("records")
    width = max(5, *(len(line["model"]) for line in lines))
    print(f"{'rung':>4}  {'model':{width}}  {titles[0]}  {titles[1]}")
    for line in lines:
        scores = [100 * line[f"{images}_{measure}"] for images in ("validation", "test")]
        cells = (f"{value:>{len(title) - 2}.2f} %" for title, value in zip(titles, scores, strict=True))
        print(f"{line['rung']:>4}  {line['model']:{width}}  {'  '.join(cells)}")
    for number in range(len(plan.rungs)):
        for sentence in collapsed(results.store, plan, number).values():
            print(f"warning: {sentence}")


def plan_method(namespace: argparse.Namespace) -> int:
    """Print a plan and what it would cost."""
    options = _read(namespace)
    config, method = options.experiment()
    if not getattr(namespace, "json", False):
        begin(f"the plan of {options.method} on {config.recipe}, seed {options.seed}")
    _warn_of_unread(options)
    from dmt_ray.cli.dry_run import keeping_nothing

    with keeping_nothing(options) as chosen:
        _describe(chosen, config, method, as_json=getattr(namespace, "json", False))
    return 0


def _describe(options: RunOptions, config: "Config", method: "Method", *, as_json: bool) -> None:
    from dmt_ray.cli.dry_run import workers
    from dmt_ray.execution.calibration import estimator
    from dmt_ray.execution.cost import footnote
    from dmt_ray.execution.runner import Runner

    runner = Runner(options.machine())
    plan = method(runner.bind(config, [options.seed]), options.seed)
    missing = runner.store.missing(plan.targets())
    by = [text for _, text in workers(options, "plan")] if options.workers > 1 and missing else []
    runner.check(plan.stages())
    estimate = estimator(runner)
    if as_json:
        from dmt_ray.cli.documents import PlanDocument

        what = (options.method, config.recipe, options.seed)
        PlanDocument.of(what, plan, missing, (estimate(plan.stages()), estimate(missing))).show()
        return
    print(plan.explain(mark={stage: "to do" for stage in missing}))
    costs = [str(estimate(plan.stages())), str(estimate(missing))]
    print(f"\ntotal:   {costs[0]}\nmissing: {costs[1]}")
    for text in by:
        print(f"workers: {text}")
    if note := footnote(costs):
        print(f"         {note}")


def _warn_of_unread(options: RunOptions) -> None:
    """Name the overrides that the method does not read."""

    def work_with(changes: Sequence[str]) -> Work:
        config, method = replace(options, changes=tuple(changes)).experiment()
        return [config], [method(config, options.seed)]

    for change in unread(options.changes, work_with):
        name = change.partition("=")[0]
        warn(f"{name} is not read by the method {options.method}: --set {change} changes nothing")


def _read(namespace: argparse.Namespace) -> RunOptions:
    absolute_files(namespace)
    return read(RunOptions, namespace, seeds=(max(0, namespace.seed),), command=command_line("dmt", *sys.argv[1:]))
