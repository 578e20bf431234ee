"""What a search script declares, and the command line that all of them share."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations_with_replacement

from dmt_ray.cli.declared import GRID, OF_EXPERIMENTS, OF_SEARCHES
from dmt_ray.cli.options import Parser, absolute_files, add, begin, guarded, manual, read, warn
from dmt_ray.cli.questions import command_of
from dmt_ray.cli.sweep_options import TRIALS, SweepOptions, check
from dmt_ray.config import Config, Model, nearest
from dmt_ray.config.derived import DERIVED, PAIR, SCHEDULE
from dmt_ray.errors import ConfigError
from dmt_ray.experiments.dimensions import AND, default_point
from dmt_ray.experiments.sweep import Sweep
from dmt_ray.experiments.unread import Work, unread
from dmt_ray.methods import METHODS, configure, space_of
from dmt_ray.methods.space import Choice, Params, Space

# torch, ray, optuna and mlflow take seconds to import: only what runs a sweep imports them.


@dataclass(frozen=True)
class Question:
    """A search, as its script declares it.

    Attributes:
        manual: The script's docstring, shown by --help.
        name: The script's name, such as "gamma_sweep".
        title: What it asks, in one sentence.
        space: What is searched -> its values; or a function that makes it of the recipe.
        method: A name in `methods.METHODS`.
        known: Points that are tried first, after the recipe's own.
        fixed: Overrides that belong to the question, as in "order=sequential"; those of the command line come after.
        sampler: Who proposes points unless the user says otherwise; "grid" for a curve, which is never pruned.
        trials: How many there are unless the user says otherwise; of a grid, all.
        extra_metrics: Names in `extra_metrics.EXTRA_METRICS` of what is shown beside the score.
        pairs: Whether the pairs of --networks are searched as well, as models A and B.
        by_method: Whether --method searches a single method instead, in the space that is declared beside it.
    """

    manual: str | None
    name: str
    title: str
    space: Space | Callable[[Config], Space]
    method: str = "dmt"
    known: Sequence[Params] = ()
    fixed: Sequence[str] = ()
    sampler: str = "tpe"
    trials: int = TRIALS
    extra_metrics: Sequence[str] = ()
    pairs: bool = False
    by_method: bool = False


def main(question: Question) -> int:
    """Run a search script; `dmt sweep NAME` is the same.

    Returns:
        The exit status, as `ExitCode` names them.
    """
    parser = Parser(prog=f"python {os.path.relpath(sys.argv[0])}", **manual(question.manual))
    add_options(parser, question)
    options = parser.parse_args()
    return guarded(lambda: int(options.command(options)))


def add_options(parser: argparse.ArgumentParser, question: Question) -> None:
    """Give a parser the options of a search, and what to do with them."""
    count = "all points of the grid" if question.sampler == "grid" else question.trials
    add(
        parser,
        *OF_EXPERIMENTS,
        *OF_SEARCHES,
        seeds={"default": [0], "help": "seeds to score every trial on (default: 0)"},
        max_concurrent={"help": "maximum number of trials to run at once (default: as many as there is room for)"},
        trials={"help": f"total number of trials, including those of earlier starts (default: {count})"},
    )
    if question.pairs:
        add(parser, "--networks")
    if question.by_method:
        what = "search only this method, in its own space, see `dmt methods`"
        add(parser, "--method", method={"default": None, "help": what})
    parser.set_defaults(command=partial(_ask, question), default_sampler=question.sampler)


def _ask(question: Question, options: argparse.Namespace) -> int:
    options.changes = [*question.fixed, *options.changes]
    check(options)
    only: str | None = options.method if question.by_method else None
    if only is not None and only not in METHODS:
        raise ConfigError(f"there is no method {only!r}; {nearest(only, METHODS)}")
    method = only or question.method

    def sweep_of(config: Config) -> Sweep:
        space = question.space(config) if callable(question.space) else question.space
        if only is not None:
            space = space_of(only, config.data.task)
        networks = _networks(options.networks, config) if question.pairs else {}
        if networks:
            space = {**space, PAIR: Choice(*map(AND.join, combinations_with_replacement(networks, 2)))}
        space = _without_fixed(space, _own_changes(question, options))
        return Sweep(
            question=question.name,
            title=question.title if only is None else f"Which settings suit {only} best?",
            config=config,
            method=method,
            space=space,
            seeds=tuple(sorted(options.seeds)),
            known=_known(config, method, space, question.known),
            grid=_grid(options, space),
            seed_by_seed=options.pruner == "wilcoxon",
            second=options.second or "",
            extra_metrics=tuple(question.extra_metrics),
            networks={name: network.model_dump(mode="json") for name, network in networks.items()},
        )

    return _run(options, sweep_of, question, method)


def _networks(names: Sequence[str] | None, config: Config) -> dict[str, Model]:
    """The networks whose pairs are searched, by name."""
    from dmt_ray.recipes.networks import network, usual_networks

    chosen = {name: network(name, config) for name in names or usual_networks(config)}
    if len(chosen) < 2:
        raise ConfigError(f"--networks needs two different networks or more, but got {' '.join(chosen)}")
    return chosen


def _own_changes(question: Question, options: argparse.Namespace) -> dict[str, str]:
    """What the user sets: setting -> value as it was written."""
    parts = (change.partition("=") for change in options.changes[len(question.fixed) :])
    return {name.strip(): value for name, _, value in parts}


def _without_fixed(space: Space, given: Mapping[str, str]) -> Space:
    """The space without the settings that the user fixes.

    Raises:
        ConfigError: If nothing is left, or a setting is fixed that the search makes of something else.
    """
    for name, values in space.items():
        if name in SCHEDULE and not set(SCHEDULE) <= space.keys():
            continue  # percentiles that are set are where the parts come from that are not searched
        for setting in DERIVED.get(name, ()):
            if setting in given:
                raise ConfigError(
                    f"this search varies {setting}, by {name} ({values}): leave --set {setting}={given[setting]} out"
                )
    left = {name: values for name, values in space.items() if name not in given}
    if not left:
        raise ConfigError(
            f"--set fixes everything that this search varies ({', '.join(space)}): leave one of them out, or run this "
            "one point by `dmt run` with the same --set"
        )
    return left


def _say_what_is_set(
    question: Question, options: argparse.Namespace, sweep: Sweep, sweep_with: Callable[[Sequence[str]], Sweep]
) -> None:
    """Name the overrides that narrow the search, and those that change none of its trials."""
    space = question.space(sweep.config) if callable(question.space) else question.space
    for name, value in _own_changes(question, options).items():
        if name in space:
            begin(f"{name} is fixed at {value} by --set; the search varies {', '.join(sweep.space)}")
    points = sweep.probes()

    def work_with(changes: Sequence[str]) -> Work:
        made = sweep_with(changes)
        return [made.config], [made.plans(point)[made.seeds[0]] for point in points]

    for change in unread(options.changes, work_with, own=len(question.fixed)):
        if change.partition("=")[0] not in space:
            warn(f"no trial reads {change.partition('=')[0]}: --set {change} changes nothing")


def _grid(options: argparse.Namespace, space: Space) -> int:
    """Values per range; always the same number where there is no range."""
    if options.sampler != "grid":
        return 0
    ranges = any(not isinstance(values, Choice) for values in space.values())
    if options.grid is not None and not ranges:
        raise ConfigError(f"--grid {options.grid} is for ranges, but this search has only choices: use --sampler grid")
    return int(options.grid or GRID)


def _known(config: Config, method: str, space: Space, known: Sequence[Params]) -> tuple[Params, ...]:
    """The points that are tried first, each once: the recipe's own, and the given ones that lie in the space."""
    own = default_point(config, method, space)
    points = [*([] if own is None else [own]), *known]
    fitting = [
        point for point in points if all(name in space and space[name].holds(value) for name, value in point.items())
    ]
    return tuple(point for i, point in enumerate(fitting) if point not in fitting[:i])


def _run(options: argparse.Namespace, sweep_of: Callable[[Config], Sweep], question: Question, method: str) -> int:
    from dmt_ray.execution import cluster
    from dmt_ray.recipes import load

    absolute_files(options)
    chosen = read(
        SweepOptions,
        options,
        trials=options.trials or (None if options.sampler == "grid" else question.trials),
        seeds=tuple(sorted(options.seeds)),
        confirm=tuple(sorted(options.confirm)),
        command=command_of("sweep", question.name),
    )
    cluster.stop_on_terminate()

    def sweep_with(changes: Sequence[str]) -> Sweep:
        return sweep_of(load(options.recipe, changes, partial(configure, METHODS[method])))

    config = load(options.recipe, options.changes, partial(configure, METHODS[method]))
    sweep = sweep_of(config)  # says within a moment what is wrong with it
    if options.address is not None:
        cluster.check_address(options.address)
    begin(f"{question.name}: {question.title}")
    _say_what_is_set(question, options, sweep, sweep_with)
    if options.dry_run:
        from dmt_ray.cli import dry_run

        dry_run.sweep(sweep_of, config, chosen)
        return 0
    cluster.prepare()
    from dmt_ray.cli import sweep_driver  # imports torch, and must come after the environment is prepared

    return sweep_driver.drive(sweep_of, config, chosen)
