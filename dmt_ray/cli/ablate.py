"""The command line that all ablations share. A script says what its rows and columns are; everything else is here."""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from dmt_ray.cli.options import command_line, guarded
from dmt_ray.cli.request import add_options, asked, check
from dmt_ray.config import Config, nearest
from dmt_ray.errors import ConfigError
from dmt_ray.experiments.ablation import Ablation, Column, Row, cells
from dmt_ray.recipes import load
from dmt_ray.report.described import in_markdown
from dmt_ray.results.statistics import visible

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
    recipe: str = "shapes",
) -> int:
    """Run an ablation script.

    Args:
        manual: The script's docstring, shown by --help.
        question: The script's name, such as "components".
        title: What it asks, in one sentence.
        rows: Name -> row; or what makes them for the settings of a recipe.
        columns: Makes name -> column for the settings of a recipe; None: the recipe alone.
        reference: The row that the others are compared with.
        paper: The paper's table, as `dmt_ray.report.papers` names it, or several with a space between them; or those of
            data sets by their names.
        recipe: The recipe unless the user names another one.

    Returns:
        The exit status: 0, 1 if a stage failed, 2 after an error that the user can mend, 130 if stopped.
    """
    options = _parser(manual, question, recipe).parse_args()

    def ask() -> int:
        config = load(options.recipe, options.changes)
        known = rows(config) if callable(rows) else rows
        _check(options, known)
        chosen = {name: row for name, row in known.items() if not options.rows or name in {*options.rows, reference}}
        found = {config.recipe: Column()} if columns is None else columns(config)
        table = paper.get(config.data.name) if isinstance(paper, Mapping) else paper
        return _run(options, config.recipe, question, title, chosen, found, reference, table)

    return guarded(ask)


def from_weights(config: Config) -> bool:
    """Whether networks start from trained weights, as those of the papers do."""
    return bool(config.model.weights_file or config.model.encoder_weights)


def _parser(manual: str, question: str, recipe: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m ablations.{question}",
        description=manual,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_options(parser, seeds=list(SEEDS), of_seeds="every row is run", at_a_time="stages", recipe=recipe)
    parser.add_argument("--rows", nargs="+", metavar="ROW", help="only these rows, and the reference (default: all)")
    return parser


def _check(options: argparse.Namespace, rows: Mapping[str, Row]) -> None:
    check(options)
    for name in options.rows or ():
        if name not in rows:
            raise ConfigError(f"there is no row {name!r}; {nearest(name, rows)}")


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
    from dmt_ray.execution import cluster

    cluster.stop_on_terminate()
    seeds = tuple(sorted(options.seeds))
    for column in columns.values():  # says within a moment what is wrong with the settings
        cells(column.recipe or options.recipe, options.changes, rows, {"": column}, lambda config: config)
    if options.address is not None:
        cluster.probe(options.address)
    cluster.prepare()
    from dmt_ray.cli import ablation_driver  # imports torch, and must come after the environment is prepared

    folder, status = ablation_driver.run(
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
        ablation_driver.Request(
            **asked(options),
            command=command_line("python", "-m", f"ablations.{question}", *sys.argv[1:]),
            power=visible(len(seeds)),
            table=in_markdown,
        ),
    )
    if not options.dry_run:
        from dmt_ray.report.tables.files import show_and_write
        from dmt_ray.results import tidy

        show_and_write(tidy.of_ablation(folder), Path(options.storage) / "tables")
    return status
