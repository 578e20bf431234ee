"""The command line that all ablations share. A script says what its rows and columns are; everything else is here."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from ablations.described import in_markdown
from analysis.statistics import visible
from dmt_ray.ablation.ablation import Ablation, Column, Row, cells
from dmt_ray.commandline import (
    STALL_SECONDS,
    add_address,
    add_experiment,
    add_shared_store,
    add_storage,
    add_tracking,
    add_workers,
    check_workers,
    command_line,
    guarded,
)
from dmt_ray.config import Config, nearest
from dmt_ray.errors import ConfigError
from dmt_ray.recipes import load

# torch, ray and mlflow take seconds to import: only what runs an ablation imports them.

SEEDS = (0, 1, 2, 3, 4)
Rows = Mapping[str, Row] | Callable[[Config], Mapping[str, Row]]  # or those that suit some settings
Columns = Callable[[Config], Mapping[str, Column]]


def ablate(
    manual: str,
    *,
    question: str,
    title: str,
    rows: Rows,
    columns: Columns | None = None,
    reference: str = "Baseline",
    paper: str | Mapping[str, str] | None = None,
) -> int:
    """Run an ablation script.

    Args:
        manual: The script's docstring, shown by --help.
        question: The script's name, such as "components".
        title: What it asks, in one sentence.
        rows: Name -> row; or what makes them for the settings of a recipe.
        columns: Makes name -> column for the settings of a recipe; None: the recipe alone.
        reference: The row that the others are compared with.
        paper: The paper's table, as `analysis.papers` names it; or those of data sets by their names.

    Returns:
        The exit status: 0, 1 if a stage failed, 2 after an error that the user can mend, 130 if stopped.
    """
    options = _parser(manual, question).parse_args()

    def ask() -> int:
        config = load(options.recipe, options.changes)
        known = rows(config) if callable(rows) else rows
        _check(options, known)
        chosen = {name: row for name, row in known.items() if not options.rows or name in {*options.rows, reference}}
        found = {config.recipe: Column()} if columns is None else columns(config)
        table = paper.get(config.data.name) if isinstance(paper, Mapping) else paper
        return _run(options, config.recipe, question, title, chosen, found, reference, table)

    return guarded(ask)


def _parser(manual: str, question: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m ablations.{question}",
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
        "--seeds",
        type=int,
        nargs="+",
        default=list(SEEDS),
        metavar="SEED",
        help=f"every row is run on all of them (default: {' '.join(map(str, SEEDS))})",
    )
    parser.add_argument("--rows", nargs="+", metavar="ROW", help="only these rows, and the reference (default: all)")
    parser.add_argument(
        "--max-concurrent", type=int, metavar="N", help="stages at a time (default: as many as there is room for)"
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
    return parser


def _check(options: argparse.Namespace, rows: Mapping[str, Row]) -> None:
    if options.max_concurrent is not None and options.max_concurrent < 1:
        raise ConfigError(f"--max-concurrent must be 1 or more, but got {options.max_concurrent}")
    if not options.stall_limit > 0:
        raise ConfigError(f"--stall-limit must be above 0 seconds, but got {options.stall_limit:g}")
    if min(options.seeds) < 0 or len(set(options.seeds)) < len(options.seeds):
        raise ConfigError(f"--seeds must be different numbers from 0 on, but got {' '.join(map(str, options.seeds))}")
    for name in options.rows or ():
        if name not in rows:
            raise ConfigError(f"there is no row {name!r}; {nearest(name, rows)}")
    check_workers(options)


def _run(
    options: argparse.Namespace,
    recipe: str,
    question: str,
    title: str,
    rows: Mapping[str, Row],
    columns: Mapping[str, Column],
    reference: str,
    paper: str | None,
) -> int:
    from dmt_ray.search import cluster

    cluster.stop_on_terminate()
    seeds = tuple(sorted(options.seeds))
    for column in columns.values():  # says within a moment what is wrong with the settings
        cells(column.recipe or options.recipe, options.changes, rows, {"": column}, lambda config: config)
    if options.address is not None:
        cluster.probe(options.address)
    cluster.prepare()
    from dmt_ray.ablation import running  # imports torch, and must come after the environment is prepared

    folder, status = running.run(
        lambda bind: Ablation(
            question=question,
            title=title,
            recipe=recipe,
            cells=cells(options.recipe, options.changes, rows, columns, bind),
            seeds=seeds,
            reference=reference,
            paper=paper,
        ),
        seeds,
        running.Request(
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
            command=command_line("python", "-m", f"ablations.{question}", *sys.argv[1:]),
            power=visible(len(seeds)),
            table=in_markdown,
        ),
    )
    if not options.dry_run:
        from ablations.tables import show_and_write
        from analysis import records

        show_and_write(records.of_ablation(folder), Path(options.storage) / "tables")
    return status
