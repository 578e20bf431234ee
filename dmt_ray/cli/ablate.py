"""The command line that all ablations share. A script says what its rows and columns are; everything else is here."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from dmt_ray.cli.options import OF_EXPERIMENTS, add, guarded, manual, read
from dmt_ray.config import Config, nearest
from dmt_ray.errors import ConfigError
from dmt_ray.execution.options import Options
from dmt_ray.experiments.ablation import Ablation, Column, Row, cells
from dmt_ray.experiments.reproduce import command_line
from dmt_ray.methods import METHODS, configure
from dmt_ray.recipes import load

# torch, ray and mlflow take seconds to import: only what runs an ablation imports them.

SEEDS = [0, 1, 2, 3, 4]
Rows = Mapping[str, Row] | Callable[[Config], Mapping[str, Row]]  # or those that suit some settings
Columns = Callable[[Config], Mapping[str, Column]]


def ablate(
    text: str | None,
    question: str,
    title: str,
    rows: Rows,
    *,
    columns: Columns | None = None,
    reference: str = "Baseline",
    paper: str | Mapping[str, str] | None = None,
    recipe: str = "shapes",
    fixed: Sequence[str] = (),
) -> int:
    """Run an ablation script.

    Args:
        text: The script's docstring, shown by --help.
        question: The script's name, such as "components".
        title: What it asks, in one sentence.
        rows: Name -> row; or what makes them for the settings of a recipe.
        columns: Makes name -> column for the settings of a recipe; None: the recipe alone.
        reference: The row that the others are compared with.
        paper: The paper's table, as `report.papers` names it, or several with a space between them; or those of
            data sets by their names.
        recipe: The recipe unless the user names another one.
        fixed: Overrides that belong to the question, as in "order=sequential"; those of the command line come after.

    Returns:
        The exit status: 0, 1 if a stage failed, 2 after an error that the user can mend, 130 if stopped.
    """
    parser = argparse.ArgumentParser(prog=f"python -m ablations.{question}", **manual(text))
    add(
        parser,
        *OF_EXPERIMENTS,
        "--rows",
        recipe={"default": recipe},
        seeds={"default": SEEDS, "help": f"every row is run on all of them (default: {' '.join(map(str, SEEDS))})"},
        max_concurrent={"help": "stages at a time (default: as many as there is room for)"},
    )
    options = parser.parse_args()
    options.changes = [*fixed, *options.changes]

    def ask() -> int:
        config = load(options.recipe, options.changes, partial(configure, METHODS["baseline"], shared=True))
        known = rows(config) if callable(rows) else rows
        for name in options.rows or ():
            if name not in known:
                raise ConfigError(f"there is no row {name!r}; {nearest(name, known)}")
        chosen = {name: row for name, row in known.items() if not options.rows or name in {*options.rows, reference}}
        table = {config.recipe: Column()} if columns is None else columns(config)
        seeds = tuple(sorted(options.seeds))

        def ablation_of(bind: Callable[[Config], Config]) -> Ablation:
            return Ablation(
                question=question,
                title=title,
                recipe=config.recipe,
                cells=cells(options.recipe, options.changes, chosen, table, bind),
                seeds=seeds,
                reference=reference,
                paper=paper.get(config.data.name) if isinstance(paper, Mapping) else paper,
            )

        command = command_line("python", "-m", f"ablations.{question}", *sys.argv[1:])
        return _run(ablation_of, read(Options, options, seeds=seeds, command=command))

    return guarded(ask)


def _run(ablation_of: Callable[[Callable[[Config], Config]], Ablation], options: Options) -> int:
    from dmt_ray.execution import cluster

    cluster.stop_on_terminate()
    ablation_of(lambda config: config)  # says within a moment what is wrong with the settings
    if options.address is not None:
        cluster.check_address(options.address)
    cluster.prepare()
    from dmt_ray.cli import ablation_driver  # imports torch, and must come after the environment is prepared

    return ablation_driver.drive(ablation_of, options)
