"""The command line that all search scripts share. A script says what it asks; everything else is here."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dmt_ray.commandline import (
    STALL_SECONDS,
    add_address,
    add_experiment,
    add_shared_store,
    add_storage,
    add_tracking,
    add_workers,
    check_workers,
    guarded,
)
from dmt_ray.errors import ConfigError
from dmt_ray.search.sweep import Params, Sweep, Uniform

# torch, ray and mlflow take seconds to import: only what runs a sweep imports them.

TRIALS = 12


def search(
    manual: str, *, question: str, title: str, method: str, space: Mapping[str, Uniform], known: Sequence[Params] = ()
) -> int:
    """Run a search script.

    Args:
        manual: The script's docstring, shown by --help.
        question: The script's name, such as "gamma_sweep".
        title: What it asks, in one sentence.
        method: A name in `methods.METHODS`.
        space: Dotted setting -> the range that is searched.
        known: Points that are tried first, after the recipe's own.

    Returns:
        The exit status: 0, 1 if a trial failed, 2 after an error that the user can mend, 130 if stopped.
    """
    options = _parser(manual, question).parse_args()

    def ask() -> int:
        _check(options)
        return _run(options, lambda config: _sweep(options, config, question, title, method, space, known))

    return guarded(ask)


def _parser(manual: str, question: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python searches/{question}.py",
        description=manual,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_experiment(parser)
    add_storage(parser)
    add_shared_store(parser)
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="folder of the data set (default: below the variable DMT_DATA)"
    )
    add_address(parser)
    parser.add_argument(
        "--trials", type=int, metavar="N", help=f"trials in all, with those of earlier starts (default: {TRIALS})"
    )
    parser.add_argument("--grid", type=int, metavar="G", help="in place of a search, G values per setting in all pairs")
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=[0],
        metavar="SEED",
        help="score every trial on all of them (default: 0)",
    )
    parser.add_argument(
        "--max-concurrent",
        type=int,
        metavar="N",
        help="trials at a time (default: as many as there is room for)",
    )
    add_workers(parser)
    parser.add_argument(
        "--stall-limit",
        type=float,
        default=STALL_SECONDS,
        metavar="SECONDS",
        help=f"a worker that gets no further for so long is taken to hang, and replaced (default: {STALL_SECONDS:.0f})",
    )
    add_tracking(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be done and what it costs, and stop")
    parser.add_argument(
        "--fresh", action="store_true", help="keep the old study under another name and start anew; stages are reused"
    )
    return parser


def _check(options: argparse.Namespace) -> None:
    for name in ("trials", "max_concurrent"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ConfigError(f"--{name.replace('_', '-')} must be 1 or more, but got {value}")
    if not options.stall_limit > 0:
        raise ConfigError(f"--stall-limit must be above 0 seconds, but got {options.stall_limit:g}")
    if options.grid is not None and options.grid < 2:
        raise ConfigError(f"--grid must be 2 or more, but got {options.grid}")
    if options.grid is not None and options.trials is not None:
        raise ConfigError("--grid tries all its points: leave --trials out")
    if min(options.seeds) < 0 or len(set(options.seeds)) < len(options.seeds):
        raise ConfigError(f"--seeds must be different numbers from 0 on, but got {' '.join(map(str, options.seeds))}")
    check_workers(options)


def _sweep(
    options: argparse.Namespace,
    config: Any,
    question: str,
    title: str,
    method: str,
    space: Mapping[str, Uniform],
    known: Sequence[Params],
) -> Sweep:
    own = {setting: _value(config, setting) for setting in space}
    points = [
        point for point in (own, *known) if all(space[s].low <= value <= space[s].high for s, value in point.items())
    ]
    return Sweep(
        question=question,
        title=title,
        config=config,
        method=method,
        space=space,
        seeds=tuple(sorted(options.seeds)),
        known=tuple(point for i, point in enumerate(points) if point not in points[:i]),
        grid=options.grid or 0,
    )


def _value(config: Any, setting: str) -> float:
    for name in setting.split("."):
        config = getattr(config, name)
    return float(config)


def _run(options: argparse.Namespace, sweep_of: Any) -> int:
    from dmt_ray.recipes import load
    from dmt_ray.search import cluster

    cluster.stop_on_terminate()
    config = load(options.recipe, options.changes)
    sweep_of(config)  # says within a moment what is wrong with the space
    if options.address is not None:
        cluster.probe(options.address)
    cluster.prepare()
    from dmt_ray.search import running  # imports torch, and must come after the environment is prepared

    return running.run(
        sweep_of,
        config,
        running.Request(
            recipe=options.recipe,
            changes=tuple(options.changes),
            seeds=tuple(sorted(options.seeds)),
            trials=options.trials or (TRIALS if options.grid is None else None),
            storage=Path(os.path.abspath(options.storage)),
            data=None if options.data is None else Path(os.path.abspath(options.data)),
            address=options.address,
            concurrent=options.max_concurrent,
            workers=options.workers,
            gpus=options.gpus_per_worker,
            cpus=options.cpus_per_worker,
            compiled=options.compile,
            shared=options.shared_store,
            stall_seconds=options.stall_limit,
            tracking_uri=options.tracking_uri,
            dry_run=options.dry_run,
            fresh=options.fresh,
            command=tuple(sys.argv),
        ),
    )
