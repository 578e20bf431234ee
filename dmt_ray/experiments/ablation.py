"""What an ablation is: rows and columns of a table, where each cell has a plan for every seed."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

from dmt_ray.config import Config, nearest
from dmt_ray.errors import ConfigError, DataError, ModelError
from dmt_ray.methods import METHODS, configure
from dmt_ray.plan import Plan
from dmt_ray.plan.key import key_of
from dmt_ray.recipes import load


@dataclass(frozen=True)
class Row:
    """A row as a script declares it: {"DMS 80 %": Row("dmt", {"dms_alpha": 0.8})}."""

    method: str  # a name in `methods.METHODS`
    changes: Mapping[str, Any] = field(default_factory=dict)  # dotted setting -> value, on top of the column's

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(f"there is no method {self.method!r}; {nearest(self.method, METHODS)}")


@dataclass(frozen=True)
class Column:
    """Settings under which every row is run, such as a labelled ratio.

    Attributes:
        changes: Dotted setting -> value, on top of the recipe.
        recipe: Another recipe than the one that was asked for.
        paper: The column of the paper's table that this one repeats, such as "1/20". Its numbers are shown only where
            initial weights, data and training are the paper's (`recipes.published`).
    """

    changes: Mapping[str, Any] = field(default_factory=dict)
    recipe: str | None = None
    paper: str | None = None


@dataclass(frozen=True)
class Cell:
    """A row in a column."""

    row: str  # its name
    column: str  # its name
    method: str  # a name in `methods.METHODS`
    config: Config  # bound to its data
    recipe: str  # name or file, as `--recipe` takes it
    changes: tuple[str, ...] = ()  # overrides of the recipe, as `--set` takes them
    paper: str | None = None  # see `Column`
    given: int | None = None  # seeds of the ablation, from the first on, that it is run on so far; None: all

    def plan(self, seed: int) -> Plan:
        """The plan for one seed."""
        return METHODS[self.method](self.config, seed)


class Member(NamedTuple):
    """One number of a table: a cell for one seed."""

    cell: Cell
    seed: int
    plan: Plan

    @property
    def name(self) -> str:
        """For people: "DMT, 1/20, seed 0"."""
        return ", ".join(part for part in (self.cell.row, self.cell.column, f"seed {self.seed}") if part)


@dataclass(frozen=True)
class Ablation:
    """A table: every row in every column, for every seed."""

    question: str  # the script's name, such as "components"
    title: str  # what it asks, in one sentence
    recipe: str  # as it was given
    cells: tuple[Cell, ...]  # row by row, in each the columns in their order
    seeds: tuple[int, ...]  # all rows have the same, so that they are compared pair by pair
    reference: str  # the row that the others are compared with
    paper: str | None = None  # the paper's table, as `dmt_ray.report.papers` names it
    # Numbers of seeds after which it is seen which rows are decided, so that only the others get more; (): all rows
    # have all seeds. They are fixed before the first result, and the error of a table depends on them (decision 68).
    looks: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ConfigError(f"an ablation needs distinct seeds of 0 or more, but got {self.seeds}")
        if len(self.positions()) < len(self.cells):
            raise ConfigError("two cells of an ablation have the same row and column")
        if self.reference not in self.rows:
            raise ConfigError(f"the reference {self.reference!r} is not a row; {nearest(self.reference, self.rows)}")
        if self.looks and len(self.rows) < 2:
            raise ConfigError(f"there is nothing to decide: {self.reference!r}, the reference, is the only row")
        if self.looks and len(self.seeds) != self.looks[-1]:
            raise ConfigError(
                f"the last look is after {self.looks[-1]} seeds, but --seeds lists {len(self.seeds)}: leave --seeds "
                "out, or list as many"
            )

    @property
    def name(self) -> str:
        """Name of its folder: the same with more rows or seeds, another one with other settings."""
        columns = {cell.column: cell.config for cell in self.cells if cell.row == self.reference}
        settings = {column: config.identity() for column, config in columns.items()}
        return f"{self.question}-{self.recipe.replace('/', '-')}-{key_of(settings)[:8]}"

    @property
    def rows(self) -> list[str]:
        """Names of the rows, in order."""
        return list(dict.fromkeys(cell.row for cell in self.cells))

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in order."""
        return list(dict.fromkeys(cell.column for cell in self.cells))

    def positions(self) -> set[tuple[str, str]]:
        """Row and column of every cell."""
        return {(cell.row, cell.column) for cell in self.cells}

    def members(self) -> Iterator[Member]:
        """Every cell for every seed, seed by seed, so that a table that is stopped early has complete pairs."""
        for place, seed in enumerate(self.seeds):
            for cell in self.cells:
                if cell.given is None or place < cell.given:
                    yield Member(cell, seed, cell.plan(seed))

    def extended(self, cells: Set[tuple[str, str]], seeds: int) -> "Ablation":
        """The table with so many seeds for some cells, as (row, column), and for the reference beside them."""
        columns = {column for _, column in cells}
        return replace(
            self,
            cells=tuple(
                replace(cell, given=seeds)
                if (cell.row, cell.column) in cells or (cell.row == self.reference and cell.column in columns)
                else cell
                for cell in self.cells
            ),
        )


def cells(
    recipe: str,
    changes: Sequence[str],
    rows: Mapping[str, Row],
    columns: Mapping[str, Column],
    bind: Callable[[Config], Config],
) -> tuple[Cell, ...]:
    """The cells of a table, checked and bound to their data.

    Args:
        recipe: Recipe as it was given.
        changes: Overrides as they were given; those of columns and rows come on top.
        rows: Name -> row.
        columns: Name -> column.
        bind: Checks settings and fills in what identifies their data.

    Raises:
        UserError: If a setting or the data are wrong, with the cell that it is about.
    """
    bound: dict[str, Config] = {}
    made = []
    for name, row in rows.items():
        for title, column in columns.items():
            start = column.recipe or recipe
            try:
                method = METHODS[row.method]
                config = load(start, changes, partial(configure, method, shared=True))
                config = configure(method, configure(method, config, column.changes), row.changes)
                method(config, 0)  # which says whether it is for such data
                text = config.model_dump_json()
                if text not in bound:
                    bound[text] = bind(config)
            except (ConfigError, DataError, ModelError) as error:
                raise type(error)(f"{name}{f', {title}' if title else ''}: {error}") from None
            own = (*column.changes.items(), *row.changes.items())
            overrides = (*changes, *(f"{setting}={json.dumps(value)}" for setting, value in own))  # JSON is YAML, too
            made.append(Cell(name, title, row.method, bound[text], start, overrides, column.paper))
    return tuple(made)
