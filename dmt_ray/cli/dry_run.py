"""What a sweep or an ablation would do and cost, said without doing it; and what is checked before any of it begins.

Nothing here imports torch, ray, optuna or mlflow, which together take longer than all that is to be said.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console

from dmt_ray.cli.options import warn
from dmt_ray.cli.sweep_cost import describe, print_rows
from dmt_ray.config import Config, Model
from dmt_ray.errors import DataError, ModelError
from dmt_ray.execution import cluster
from dmt_ray.execution.calibration import BareSteps, estimator
from dmt_ray.execution.cost import Estimate, Estimator, Work, duration
from dmt_ray.execution.options import Options
from dmt_ray.execution.runner import Runner
from dmt_ray.experiments import reuse
from dmt_ray.experiments.ablation import Ablation
from dmt_ray.experiments.experiment_file import FOLDERS
from dmt_ray.experiments.looks import in_words as looks_in_words
from dmt_ray.experiments.sweep import Sweep, in_words
from dmt_ray.experiments.trials import ended, newest_attempt, read_trials
from dmt_ray.methods import METHODS
from dmt_ray.plan import in_order
from dmt_ray.plan.words import counted, numbered
from dmt_ray.results.sequential import chances, error_of_a_look, mean_seeds, reached
from dmt_ray.results.statistics import visible
from dmt_ray.store import Store

if TYPE_CHECKING:
    from dmt_ray.cli.sweep_options import SweepOptions

Some = TypeVar("Some", bound=Options)


def sweep(sweep_of: Callable[[Config], Sweep], config: Config, options: "SweepOptions") -> None:
    """Say what a sweep would do; the arguments are those of `sweep_driver.drive`."""
    with keeping_nothing(options) as chosen:
        runner, seeds = chosen.driver(), [*options.seeds, *options.confirm]
        made, total = bound_sweep(runner, warm(sweep_of, options), config, seeds, options.trials)
        made = newest_attempt(chosen.storage / FOLDERS["sweep"], made, fresh=options.fresh)
        trials = read_trials(chosen.storage / FOLDERS["sweep"] / made.name, made.name)
        drawn = None
        if (limit := options.compute_limit) is not None:
            from dmt_ray.search.affordable import Affordable  # imports optuna

            drawn = Affordable(made, partial(reuse.a_seed, made, work_of=Work(runner.work_of)), limit).draw
        describe(
            Console(markup=False),
            made,
            runner.store,
            runner.work_of,
            total,
            options.confirm,
            BareSteps(runner),
            options.looks,
            limit=limit,
            drawn=drawn,
            trials=trials,
            further=[*(_workers(options) if ended(trials) < total or options.confirm else ()), *_budget(options)],
        )


def warm(sweep_of: Callable[[Config], Sweep], options: "SweepOptions") -> Callable[[Config], Sweep]:
    """What makes the sweep, with the best points of earlier ones where the user wants that."""
    if not options.warm_start:
        return sweep_of
    from dmt_ray.search.warm_start import warm_started  # imports optuna when there is an earlier study

    return lambda config: warm_started(sweep_of(config), options.storage)


def ablation(ablation_of: Callable[[Callable[[Config], Config]], Ablation], options: Options) -> None:
    """Say what an ablation would do; the arguments are those of `ablation_driver.drive`."""
    with keeping_nothing(options) as chosen:
        runner = chosen.driver()
        describe_ablation(Console(markup=False), runner, bound_ablation(runner, ablation_of, options.seeds), options)


@contextmanager
def keeping_nothing(options: Some) -> Iterator[Some]:
    """The options of a dry run: with a temporary folder where there are no results and none can be written.

    Elsewhere a dry run leaves notes that make the next one quick: the decoded images, and the times of a few steps.
    """
    place = next(folder for folder in (options.storage, *options.storage.parents) if folder.exists())
    if os.access(place, os.W_OK) or (options.storage / "store.json").exists():
        yield options
        return
    warn(f"cannot write to {options.storage}: this dry run keeps nothing, and a real one needs another --storage")
    with TemporaryDirectory(prefix="dmt-dry-run-") as folder:
        yield replace(options, storage=Path(folder))


def bound_sweep(
    runner: Runner, sweep_of: Callable[[Config], Sweep], config: Config, seeds: Sequence[int], trials: int | None
) -> tuple[Sweep, int]:
    """A sweep whose settings are bound to their data and checked, and its number of trials.

    Args:
        runner: Opens the data.
        sweep_of: Makes the sweep of settings that are bound.
        config: Settings, not bound yet.
        seeds: All seeds, also those of a confirmation.
        trials: How many there are; None: all points of the grid.

    Raises:
        UserError: If data, split or networks cannot be as the settings say.
    """
    sweep = sweep_of(runner.bind(config, seeds))
    bound = {
        name: runner.bind(sweep.config.evolve(model=Model(**values)), ()).model.model_dump(mode="json")
        for name, values in sweep.networks.items()
    }
    sweep = replace(sweep, networks=bound)
    total = trials or len(sweep.points())
    _check_points(sweep, runner, sweep.points()[:total])
    runner.check(METHODS[sweep.method](sweep.config, sweep.seeds[0]).stages())
    for point in sweep.probes():
        try:
            runner.check_networks(stage for plan in sweep.plans(point).values() for stage in plan.stages())
        except ModelError as error:
            raise ModelError(f"the search would try {in_words(point)}: {error}") from None
    return sweep, total


def _check_points(sweep: Sweep, runner: Runner, points: Iterable[dict[str, Any]]) -> None:
    """Find out before the work begins which known points the data cannot be divided for."""
    seen = {(sweep.config.split, sweep.config.dms_alpha)}
    for point in points:
        config = sweep.config_of(point)
        if (config.split, config.dms_alpha) not in seen:
            seen.add((config.split, config.dms_alpha))
            try:
                runner.bind(config, sweep.seeds)
                runner.check(stage for plan in sweep.plans(point).values() for stage in plan.stages())
            except DataError as error:
                which = f"split.labelled={config.split.labelled:g} dms_alpha={config.dms_alpha:g}"
                raise DataError(f"a known point cannot be tried ({which}): {error}") from None


def bound_ablation(
    runner: Runner, ablation_of: Callable[[Callable[[Config], Config]], Ablation], seeds: Sequence[int]
) -> Ablation:
    """An ablation whose settings are bound to their data and checked.

    Args:
        runner: Opens the data.
        ablation_of: Makes the ablation, given what binds settings to their data.
        seeds: All seeds.

    Raises:
        UserError: If data, split or networks cannot be as the settings of a cell say; with the cell.
    """
    ablation = ablation_of(lambda config: runner.bind(config, seeds))
    for member in ablation.members():
        try:
            runner.check(member.plan.stages())
        except (DataError, ModelError) as error:
            raise type(error)(f"{member.name}: {error}") from None
    return ablation


def describe_ablation(console: Console, runner: Runner, ablation: Ablation, options: Options) -> None:
    """Print what the table needs, what of it is in the store, what it costs and who performs it, and what it will be
    able to show."""
    plans = [member.plan for member in ablation.members()]
    targets = [stage for plan in plans for stage in plan.targets()]
    alone = sum(len(plan.stages()) for plan in plans)
    estimate = estimator(runner)
    missing = runner.store.missing(targets)
    cost = estimate(missing)
    at_once = _at_once(options) if missing else 1
    parallel = f"; {cost.time(1 / at_once)} with {at_once:,} workers" if cost.seconds and at_once > 1 else ""
    seeds, _, numbers = numbered(ablation.seeds, "seed").partition(" ")
    rows = [
        ("ablation", ablation.name),
        ("rows", "; ".join(ablation.rows)),
        ("columns", "; ".join(ablation.columns)),
        (seeds, numbers),
        ("stages", f"{len(in_order(targets)):,}, shared between rows where possible; without sharing: {alone:,}"),
        *(_looks(ablation, runner.store, estimate) if ablation.looks else []),
        ("at most" if ablation.looks else "to do", f"{cost}{parallel}"),
        *(workers(options, "stage" if options.workers == 1 else "plan") if missing else ()),
        ("power", "" if ablation.looks else visible(len(ablation.seeds))),
    ]
    print_rows(console, [(title, text) for title, text in rows if text])


def _looks(ablation: Ablation, store: Store, estimate: Estimator) -> Iterator[tuple[str, str]]:
    """What looks do and find, and what they are expected to cost."""
    looks, rows = ablation.looks, len(ablation.rows) - 1
    error = error_of_a_look(looks, rows)
    yield (
        "looks",
        f"after {looks_in_words(looks)} seeds, which only rows get that are not decided; error of a look and row "
        f"{error:.2g}, of the whole table 5 %",
    )
    costs = [_cost_of_a_look(ablation, store, estimate, look) for look in range(len(looks))]
    for title, effect, which in (
        ("expected", 1.5, "differs by 1.5 sd of its paired differences"),
        ("", 0.0, "does not"),
    ):
        found = chances(looks, error, effect)
        steps = seconds = 0.0
        rough = any(cost.rough for pair in costs for cost in pair)
        for open_, (reference, others) in zip(reached(found), costs, strict=True):
            any_open = 1 - (1 - open_) ** rows  # the reference goes on as long as any row does
            steps += any_open * reference.steps + open_ * others.steps
            seconds += any_open * (reference.seconds or 0) + open_ * (others.seconds or 0)
        time = f", {'about ' * rough}{duration(seconds)}" if seconds else ""
        text = (
            f"if every row {which}: {sum(found):.0%} are decided, after {mean_seeds(looks, found):.1f} seeds on average"
        )
        yield title, f"{text}; {steps:,.0f} optimizer steps{time}"


def _cost_of_a_look(ablation: Ablation, store: Store, estimate: Estimator, look: int) -> tuple[Estimate, Estimate]:
    """What is missing of the seeds that a look adds: of the reference, and what all other rows need beside that."""
    seeds = ablation.seeds[ablation.looks[look - 1] if look else 0 : ablation.looks[look]]
    plans = [(one.cell.row == ablation.reference, one.plan) for one in ablation.members() if one.seed in seeds]
    reference, everything = (
        store.missing(stage for base, plan in plans if base or every for rung in plan.rungs for stage in rung.values())
        for every in (False, True)
    )
    own = set(reference)
    return estimate(reference), estimate([stage for stage in everything if stage not in own])


def _at_once(options: Options) -> int:
    """How many workers do not slow each other down on this machine; 1 where a cluster has not been asked."""
    if (expected := options.expected()) is None:
        return 1
    group, room = expected
    # --max-concurrent may be more than the cores.
    at_once = group.workers * room
    return at_once if group.gpus else min(at_once, max(1, cluster.cpus() // group.cpus))


def workers(options: Options, what: str) -> Iterator[tuple[str, str]]:
    """Who performs what, and how much of it at a time: trials, stages or plans.

    Raises:
        ConfigError: If a local Ray has no room for them.
    """
    if (expected := options.expected()) is None:
        yield "workers", f"as many as there is room for on the Ray cluster at {options.address}, which is asked then"
        return
    group, room = expected
    yield "workers", f"{counted(room, what)} at a time, {'' if room == 1 else 'each '}by {group}"


def _workers(options: "SweepOptions") -> Iterator[tuple[str, str]]:
    yield from workers(options, "trial")
    if (shared := options.expected_shared()) is not None:
        yield "", f"the stages that all trials share: by {shared[0]}"


def _budget(options: "SweepOptions") -> Iterator[tuple[str, str]]:
    """What ends the search before its last trial."""
    flat = options.stop_when_flat
    limits = [
        counted(options.hours, "hour") if options.hours is not None else "",
        counted(options.device_hours, "device hour") if options.device_hours is not None else "",
        f"{counted(flat, 'trial')} without a gain beyond noise" if flat is not None else "",
    ]
    if any(limits):
        yield "budget", f"ends after {' or '.join(filter(None, limits))}, over all starts together"
    if options.compute_limit is not None:
        yield "limit", f"only points of at most {options.compute_limit:,.0f} optimizer steps a seed"
