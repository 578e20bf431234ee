"""Tables of an ablation, made from its tidy records (`dmt_ray.results.tidy`).

`build` turns records into a `Table`, a plain value: texts in blocks, and the raw numbers. `text` and `latex` beside
this module write it; `docs/how-to/read-a-table.md` explains the columns. Nothing in a table depends on when, where or
how often it is made: the same records give the same bytes.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dmt_ray.report.tables.caption import caption, footer
from dmt_ray.report.tables.numbers import Comparison, Mark, Numbers, PaperNumbers, Position, Score, numbers
from dmt_ray.report.tables.raw import raw
from dmt_ray.report.titles import METRICS, NONE, RULES, mean_text, would_do
from dmt_ray.results.statistics import Interval
from dmt_ray.results.tidy import headline

MANY = 4  # columns of scores that stand side by side in 120 characters
CLASSES = 7  # columns of classes that do


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


@dataclass(frozen=True)
class Table:
    """A finished table."""

    title: str  # the question of the ablation
    blocks: tuple[Block, ...]  # the grids, in the order in which they are read
    caption: tuple[str, ...]  # what everything means, a sentence or two each
    footer: tuple[str, ...]  # what the table was made from
    raw: pd.DataFrame  # every number, one line per row, column and rule; scores are fractions


def build(
    frame: pd.DataFrame,
    *,
    metric: str | None = None,
    reference: str | None = None,
    paper: PaperNumbers | None = None,
    commands: Mapping[tuple[str, str], str] | None = None,
    per_class: bool = False,
) -> Table:
    """The table of an ablation.

    Args:
        frame: Tidy records; ``frame.attrs["about"]`` says where they are from.
        metric: "miou", "pixel_accuracy" or "iou/<class>", or what else the records have, on the test images; None:
            what the models are measured by.
        reference: The row that all others are compared with; None: the one that the records name.
        paper: The paper's numbers.
        commands: (row, column) -> what computes it; None: as the records say.
        per_class: Whether the IoU of every class (in classification its accuracy) is shown, too.

    Raises:
        ValueError: If the records cannot be put in one table, or lack the metric or the reference.
    """
    origin: Mapping[str, Any] = frame.attrs.get("about", {})
    reference = reference or origin.get("reference")
    if reference is None:
        raise ValueError("the records do not name a reference row: pass reference=")
    if commands is None:
        commands = {(row, column): command for row, column, command in origin.get("commands", ())}
    metric = metric or headline(frame)
    content = numbers(frame, metric, reference)
    name = f"{METRICS.get(metric, metric)} (%)"
    blocks = list(_overview(content, name))
    for column in content.columns:
        blocks.append(_scores(content, column, name, commands))
        compared = {(position.column, position.rule) for position in content.comparisons}
        blocks += [_differences(content, column, rule) for rule in content.rules if (column, rule) in compared]
    blocks += list(_agreement(frame, content))
    if per_class:
        blocks += list(_classes(frame, content))
    if paper is not None:
        blocks += list(_paper(content, paper))
    return Table(
        title=str(origin.get("title") or frame["question"].iloc[0]),
        blocks=tuple(blocks),
        caption=tuple(caption(frame, content, origin)),
        footer=tuple(footer(frame, content, origin)),
        raw=raw(content, paper),
    )


def score_text(score: Score) -> str:
    """A cell: "67.15 ± 0.42 (n=3)"; gaps are named, as in "– (1 failed)"."""
    count = len(score.values)
    gaps = [f"{gap} {what}" for gap, what in ((len(score.failed), "failed"), (score.missing, "missing")) if gap]
    if not count:
        return f"{NONE} ({', '.join(gaps)})"
    of = f" of {score.planned}" if gaps else ""
    return mean_text(list(score.values.values()), ", ".join([f"n={count}{of}", *gaps]))


def p_text(p: float) -> str:
    """.25, .0625, 1; four decimals at most."""
    if math.isnan(p):
        return NONE
    return "<.0001" if p < 0.0001 else f"{p:.4f}".rstrip("0").rstrip(".").removeprefix("0")


def _ends(interval: Interval) -> str:
    return f"[{100 * interval.low:+z.2f}, {100 * interval.high:+z.2f}]" if interval.known else NONE


def _labelled(content: Numbers, column: str, text: str) -> str:
    return text if len(content.columns) == 1 else f"{column}: {text}"


def _overview(content: Numbers, name: str) -> Iterator[Block]:
    """All columns side by side, under the first rule."""
    rule = content.rules[0]
    for start in range(0, len(content.columns), MANY) if len(content.columns) > 1 else ():
        columns = content.columns[start : start + MANY]
        places = {row: [Position(row, column, rule) for column in columns] for row in content.rows}
        rows = [(Cell(row), *(_score(content, place) for place in own)) for row, own in places.items()]
        yield Block(f"{name}, {RULES[rule]}", ("", *columns), tuple(rows))


def _score(content: Numbers, position: Position) -> Cell:
    return Cell(score_text(content.scores[position]), content.marks.get(position, ""))


def _scores(content: Numbers, column: str, name: str, commands: Mapping[tuple[str, str], str]) -> Block:
    rows, notes, missing = [], [], []
    for row in content.rows:
        first = content.scores[Position(row, column, content.rules[0])]
        cells = [_score(content, Position(row, column, rule)) for rule in content.rules]
        rows.append((Cell(row), *cells, Cell(_cost(first)), Cell(_hours(first))))
        for pair, why in first.failed.items():
            notes.append(f"{row}, seed {pair.seed} failed: {why.splitlines()[0] if why else 'the reason is unknown'}")
        if (first.missing or first.failed) and (row, column) in commands:
            missing.append((row, commands[row, column]))
    header = ("", *(RULES[rule] for rule in content.rules), "models × steps", "device h")
    return Block(_labelled(content, column, name), header, tuple(rows), tuple(notes), tuple(missing))


def _cost(score: Score) -> str:
    if not score.models or math.isnan(score.steps):
        return NONE
    return f"{score.models} × {score.steps / score.models:,.0f}"


def _hours(score: Score) -> str:
    hours = score.device_seconds / 3600
    if math.isnan(hours):
        return NONE
    return f"{hours:.2f}" if hours >= 0.1 else f"{hours:.2g}"


def _differences(content: Numbers, column: str, rule: str) -> Block:
    rows, notes = [], []
    reference, decides = content.scores[Position(content.reference, column, rule)], rule == content.rules[0]
    for row in content.rows:
        position = Position(row, column, rule)
        if row == content.reference:
            continue
        score, compared = content.scores[position], content.comparisons.get(position)
        choices = () if rule == "last" else (Cell(_range(score.snapshots)),)
        if content.looks:
            rows.append((Cell(row), *_at_looks(content, compared)[: 3 if decides else 2], *choices))
            continue
        rows.append((Cell(row), *(_compared(compared) if compared else [Cell(NONE)] * 5), *choices))
        pairs = compared.wins.pairs if compared else 0
        gaps = score.values and reference.values and pairs < max(score.planned, reference.planned)
        if gaps and decides:  # the pairs are the same under every rule
            notes.append(
                f"{row}: paired on the {pairs} (split, seed) that both rows have; {row} has {len(score.values)} of "
                f"{score.planned} runs, {content.reference} {len(reference.values)} of {reference.planned}. "
                "The difference is that of the pairs, not of the two means."
            )
    best_of = [] if rule == "last" else ["best of"]
    kinds: tuple[str, ...] = ("difference, 95 % t", "pooled", "wins", "sign-flip p", "Holm")
    if content.looks:
        kinds = ("difference, 95 %", "wins", "decided")[: 3 if decides else 2]
    header = ("", *kinds, *best_of)
    of = "" if rule == "last" else f" (itself best of {_range(reference.snapshots)})"
    title = _labelled(content, column, f"Difference to {content.reference}{of}, {RULES[rule]}")
    return Block(title, header, tuple(rows), tuple(notes))


def _compared(comparison: Comparison) -> tuple[Cell, ...]:
    star = "*" if comparison.starred else ""
    interval = f" {_ends(comparison.paired)}" if comparison.paired.known else ""
    ties = f" ({comparison.wins.ties} tied)" if comparison.wins.ties else ""
    return (
        Cell(f"{100 * comparison.paired.mean:+z.2f}{star}{interval}"),
        Cell(_ends(comparison.pooled)),
        Cell(f"{comparison.wins.wins}/{comparison.wins.pairs}{ties}"),
        Cell(f"p={p_text(comparison.test.p)}, floor {p_text(comparison.test.floor)}".replace("=<", "<")),
        Cell(p_text(comparison.holm)),
    )


def _at_looks(content: Numbers, comparison: Comparison | None) -> tuple[Cell, ...]:
    """Difference, wins and what decided it, of a row of a table with looks."""
    at = None if comparison is None else comparison.outcome
    if comparison is None or at is None or not at.seeds:
        return Cell(NONE), Cell(NONE), Cell(f"open: not yet at {content.looks[0]} seeds")
    ties = f" ({comparison.wins.ties} tied)" if comparison.wins.ties else ""
    ends = f" {_ends(at.interval)}" if at.interval.known else ""
    if at.look is not None:
        text = f"at {content.looks[at.look]} seeds (look {at.look + 1} of {len(content.looks)})"
    else:
        text = f"open after {len(at.seeds)} seeds; {would_do(at.needed)}"
    return (
        Cell(f"{100 * at.interval.mean:+z.2f}{ends}"),
        Cell(f"{comparison.wins.wins}/{comparison.wins.pairs}{ties}"),
        Cell(text),
    )


def _range(counts: Sequence[int]) -> str:
    if not counts:
        return NONE
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _agreement(frame: pd.DataFrame, content: Numbers) -> Iterator[Block]:
    """How similar the labels of two teachers are, for the rows that have two (RWMS, Table 4)."""
    lines = frame[frame["metric"] == "agreement"]
    if len(lines):
        values = {place: group.astype(float).tolist() for place, group in lines.groupby(["row", "column"])["value"]}
        texts = {row: [mean_text(values.get((row, column), ())) for column in content.columns] for row in content.rows}
        rows = tuple((Cell(row), *map(Cell, cells)) for row, cells in texts.items() if set(cells) != {NONE})
        yield Block("Agreement: mIoU (%) between both teachers' labels of an image", ("", *content.columns), rows)


def of_each_class(frame: pd.DataFrame) -> tuple[str, str]:
    """Prefix of the per-class metrics, and their name for people."""
    return ("class_accuracy/", "Accuracy") if headline(frame) == "accuracy" else ("iou/", "IoU")


def _classes(frame: pd.DataFrame, content: Numbers) -> Iterator[Block]:
    """Every class under the first rule, with as many classes side by side as can be read."""
    rule, (start, name) = content.rules[0], of_each_class(frame)
    classes = [metric for metric in dict.fromkeys(frame["metric"]) if str(metric).startswith(start)]
    if not classes and any(score.values for score in content.scores.values()):
        raise ValueError(f"no record has the {name} of a class: the table cannot be shown per class")
    scores = {metric: numbers(frame, metric, content.reference).scores for metric in classes}
    for column in content.columns:
        # A class that has no pixel in one column's data may have some in another's.
        positions = [Position(row, column, rule) for row in content.rows]
        own = [metric for metric in classes if any(scores[metric].get(one, EMPTY).values for one in positions)]
        for first in range(0, len(own), CLASSES):
            part = own[first : first + CLASSES]
            rows = []
            for row in content.rows:
                position = Position(row, column, rule)
                cells = (_class_text(scores[metric].get(position, EMPTY), content.scores[position]) for metric in part)
                rows.append((Cell(row), *map(Cell, cells)))
            title = _labelled(content, column, f"{name} (%) of each class, {RULES[rule]}")
            yield Block(title, ("", *(metric.removeprefix(start) for metric in part)), tuple(rows))


EMPTY = Score({}, 0)


def _class_text(score: Score, cell: Score) -> str:
    if not score.values:
        return NONE
    spread = f" ± {100 * score.sd:.1f}" if len(score.values) > 1 else ""
    count = f" (n={len(score.values)})" if len(score.values) < cell.planned else ""
    return f"{100 * score.mean:z.1f}{spread}{count}"


def _paper(content: Numbers, paper: PaperNumbers) -> Iterator[Block]:
    """The paper's numbers: beside ours where the protocol is the same, else in a table of their own."""
    printed = paper.printed()
    rule = paper.selection if paper.selection in content.rules else content.rules[0]
    rows = []
    for column, theirs in paper.columns.items():
        for row in content.rows:
            score = content.scores.get(Position(row, column, rule))
            value = printed.get((row, theirs))
            if score is not None and value is not None:
                difference = f"{100 * score.mean - value[0]:+z.2f}" if score.values else NONE
                texts = (row, column, score_text(score), _paper_text(*value), difference)
                rows.append(tuple(map(Cell, texts)))
    if rows:
        header = ("", "", f"ours, {RULES[rule]}", paper.name, "ours - paper's")
        yield Block(f"Beside {paper.name}", header, tuple(rows), (f"The paper's protocol: {paper.protocol}",))
    apart = [column for column in dict.fromkeys(paper.values["column"]) if column not in paper.columns.values()]
    names = list(dict.fromkeys(paper.values["row"]))
    if apart:
        cells_of = {row: [_paper_text(*printed.get((row, column), (math.nan, 0))) for column in apart] for row in names}
        grid = tuple((Cell(row), *map(Cell, cells)) for row, cells in cells_of.items() if set(cells) != {NONE})
        note = f"The paper's protocol: {paper.protocol} Only the order of the rows can be compared with ours."
        yield Block(f"{paper.name}: different protocol, not comparable", ("", *apart), grid, (note,))


def _paper_text(value: float, sd: float) -> str:
    if math.isnan(value):
        return NONE
    return f"{value:.2f}" if math.isnan(sd) else f"{value:.2f} ± {sd:.2f}"
