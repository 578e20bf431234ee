"""What an ablation script declares, and the command line that all of them share."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from dmt_ray.cli.declared import OF_EXPERIMENTS
from dmt_ray.cli.options import Parser, absolute_files, add, begin, guarded, manual, read, warn
from dmt_ray.cli.questions import command_of
from dmt_ray.config import Config, nearest
from dmt_ray.errors import ConfigError
from dmt_ray.execution.options import Options
from dmt_ray.experiments.ablation import Ablation, Column, Row, cells
from dmt_ray.experiments.looks import looks_of
from dmt_ray.experiments.unread import Work, unread
from dmt_ray.methods import METHODS, configure
from dmt_ray.recipes import load

# torch, ray and mlflow take seconds to import: only what runs an ablation imports them.

SEEDS = [0, 1, 2, 3, 4]
Rows = Mapping[str, Row] | Callable[[Config], Mapping[str, Row]]  # or those that suit some settings
Columns = Callable[[Config], Mapping[str, Column]]


@dataclass(frozen=True)
class Question:
    """An ablation, as its script declares it.

    Attributes:
        manual: The script's docstring, shown by --help.
        name: The script's name, such as "components".
        title: What it asks, in one sentence.
        rows: Name -> row; or what makes them for the settings of a recipe.
        columns: Makes name -> column for the settings of a recipe; None: the recipe alone.
        reference: The row that the others are compared with.
        paper: The paper's table, as `report.papers` names it, or several with a space between them; or those of
            data sets by their names.
        recipe: The recipe unless the user names another one.
        fixed: Overrides that belong to the question, as in "order=sequential"; those of the command line come after.
    """

    manual: str | None
    name: str
    title: str
    rows: Rows
    columns: Columns | None = None
    reference: str = "Baseline"
    paper: str | Mapping[str, str] | None = None
    recipe: str = "shapes"
    fixed: Sequence[str] = ()


def main(question: Question) -> int:
    """Run an ablation script; `dmt ablate NAME` is the same.

    Returns:
        The exit status, as `ExitCode` names them.
    """
    parser = Parser(prog=f"python {os.path.relpath(sys.argv[0])}", **manual(question.manual))
    add_options(parser, question)
    options = parser.parse_args()
    return guarded(lambda: int(options.command(options)))


def add_options(parser: argparse.ArgumentParser, question: Question) -> None:
    """Give a parser the options of an ablation, and what to do with them."""
    add(
        parser,
        *OF_EXPERIMENTS,
        *("--rows", "--until-decided", "--looks"),
        recipe={"default": question.recipe},
        seeds={
            "help": f"seeds to run every row on (default: {' '.join(map(str, SEEDS))}; with --until-decided as many, "
            "from 0 on, as its last look takes)"
        },
        max_concurrent={"help": "maximum number of stages to compute at once (default: as many as there is room for)"},
    )
    parser.set_defaults(command=partial(_ask, question))


def _ask(question: Question, options: argparse.Namespace) -> int:
    options.changes = [*question.fixed, *options.changes]
    absolute_files(options)
    config = load(options.recipe, options.changes, partial(configure, METHODS["baseline"], shared=True))
    known = question.rows(config) if callable(question.rows) else question.rows
    for name in options.rows or ():
        if name not in known:
            raise ConfigError(f"there is no row {name!r}; {nearest(name, known)}")
    chosen = {
        name: row for name, row in known.items() if not options.rows or name in {*options.rows, question.reference}
    }
    columns = {config.recipe: Column()} if question.columns is None else question.columns(config)
    paper = question.paper
    looks = looks_of(options.until_decided, options.looks)
    seeds = tuple(sorted(options.seeds or (range(looks[-1]) if looks else SEEDS)))

    def ablation_of(bind: Callable[[Config], Config], changes: Sequence[str] = tuple(options.changes)) -> Ablation:
        return Ablation(
            question=question.name,
            title=question.title,
            recipe=config.recipe,
            cells=cells(options.recipe, changes, chosen, columns, bind),
            seeds=seeds,
            reference=question.reference,
            paper=paper.get(config.data.name) if isinstance(paper, Mapping) else paper,
            looks=looks,
        )

    def work_with(changes: Sequence[str]) -> Work:
        made = ablation_of(lambda config: config, changes).cells
        return [cell.config for cell in made], [cell.plan(seeds[0]) for cell in made]

    def say_what_is_unread() -> None:
        for change in unread(options.changes, work_with, own=len(question.fixed)):
            warn(f"no row reads {change.partition('=')[0]}, or each sets its own: --set {change} changes nothing")

    chosen_options = read(Options, options, seeds=seeds, command=command_of("ablate", question.name))
    return _run(question, ablation_of, chosen_options, say_what_is_unread)


def _run(
    question: Question,
    ablation_of: Callable[[Callable[[Config], Config]], Ablation],
    options: Options,
    say_what_is_unread: Callable[[], None],
) -> int:
    from dmt_ray.execution import cluster

    cluster.stop_on_terminate()
    ablation_of(lambda config: config)  # says within a moment what is wrong with the settings
    if options.address is not None:
        cluster.check_address(options.address)
    begin(f"{question.name}: {question.title}")
    say_what_is_unread()
    if options.dry_run:
        from dmt_ray.cli import dry_run

        dry_run.ablation(ablation_of, options)
        return 0
    cluster.prepare()
    from dmt_ray.cli import ablation_driver  # imports torch, and must come after the environment is prepared

    return ablation_driver.drive(ablation_of, options)
