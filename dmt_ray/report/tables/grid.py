"""Grids of texts: what tables are made of, and how their numbers are written."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from dmt_ray.report.tables.numbers import Comparison, Mark, Numbers, Position, Score
from dmt_ray.report.titles import NONE, mean_text, would_do
from dmt_ray.results.statistics import Interval

AUDITED = {True: " †", False: " ‡", None: ""}
"""What stands behind a score whose stages were all computed again and agree, and behind one of which some differ."""
MANY = 4  # columns of scores that stand side by side in 120 characters


@dataclass(frozen=True)
class Cell:
    """A text of a table, and how it is marked."""

    text: str
    mark: Mark = ""


@dataclass(frozen=True)
class Block:
    """One grid of a table, with its title. Notes appear below it, with commands that can be copied."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    commands: tuple[tuple[str, str], ...] = ()

    def remarks(self, text: Callable[[str], str], code: Callable[[str], str]) -> list[str]:
        """The notes, and the commands for the rows that lack runs; `text` and `code` format a text and a command."""
        lacking = [f"{text(row)} can be computed with {code(command)}" for row, command in self.commands]
        return [*map(text, self.notes), *lacking]


def score_text(score: Score) -> str:
    """A cell: "67.15 ± 0.42 (n=3)"; gaps are named, as in "– (1 failed)"."""
    count = len(score.values)
    gaps = [f"{gap} {what}" for gap, what in ((len(score.failed), "failed"), (score.missing, "missing")) if gap]
    if not count:
        return f"{NONE} ({', '.join(gaps)})" if gaps else NONE
    of = f" of {score.planned}" if gaps else ""
    return mean_text(list(score.values.values()), ", ".join([f"n={count}{of}", *gaps]))


def p_text(p: float) -> str:
    """.25, .0625, 1; four decimals at most."""
    if math.isnan(p):
        return NONE
    return "<.0001" if p < 0.0001 else f"{p:.4f}".rstrip("0").rstrip(".").removeprefix("0")


def _ends(interval: Interval) -> str:
    return f"[{100 * interval.low:+z.2f}, {100 * interval.high:+z.2f}]" if interval.known else NONE


def interval_text(interval: Interval, mark: str = "") -> str:
    """A difference in percentage points: "+1.20 [+0.40, +2.00]"; `mark` stands behind its mean."""
    return f"{100 * interval.mean:+z.2f}{mark}" + (f" {_ends(interval)}" if interval.known else "")


def score_cell(content: Numbers, position: Position) -> Cell:
    """A score with its mark."""
    audited = AUDITED[content.audited.get((position.row, position.column))]
    return Cell(score_text(content.scores[position]) + audited, content.marks.get(position, ""))


def labelled(content: Numbers, column: str, text: str) -> str:
    """A title, with the column that it is about if there are several."""
    return text if len(content.columns) == 1 else f"{column}: {text}"


def compared_cells(comparison: Comparison) -> tuple[Cell, ...]:
    """Difference with its paired interval, pooled interval, wins, sign-flip p and Holm's p."""
    ties = f" ({comparison.wins.ties} tied)" if comparison.wins.ties else ""
    return (
        Cell(interval_text(comparison.paired, "*" if comparison.starred else "")),
        Cell(_ends(comparison.pooled)),
        Cell(f"{comparison.wins.wins}/{comparison.wins.pairs}{ties}"),
        Cell(f"p={p_text(comparison.test.p)}, floor {p_text(comparison.test.floor)}".replace("=<", "<")),
        Cell(p_text(comparison.holm)),
    )


def at_looks(content: Numbers, comparison: Comparison | None) -> tuple[Cell, ...]:
    """Difference, wins and what decided it, of a row of a table with looks."""
    at = None if comparison is None else comparison.outcome
    if comparison is None or at is None or not at.seeds:
        return Cell(NONE), Cell(NONE), Cell(f"open: not yet at {content.looks[0]} seeds")
    ties = f" ({comparison.wins.ties} tied)" if comparison.wins.ties else ""
    if at.look is not None:
        text = f"at {content.looks[at.look]} seeds (look {at.look + 1} of {len(content.looks)})"
    else:
        text = f"open after {len(at.seeds)} seeds; {would_do(at.needed)}"
    return (
        Cell(interval_text(at.interval)),
        Cell(f"{comparison.wins.wins}/{comparison.wins.pairs}{ties}"),
        Cell(text),
    )
