"""Tables of an ablation, made from its tidy records (`dmt_ray.results.tidy`).

`build` turns records into a `Table`, a plain value: texts in blocks, and the raw numbers. `text` and `latex` beside
this module write it; `docs/how-to/read-a-table.md` explains the columns. Nothing in a table depends on when, where or
how often it is made: the same records give the same bytes.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dmt_ray.report.tables.caption import caption, footer
from dmt_ray.report.tables.grid import MANY, Block, Cell, at_looks, compared_cells, labelled, score_cell, score_text
from dmt_ray.report.tables.metrics import agreement, by_class, further
from dmt_ray.report.tables.numbers import Numbers, PaperNumbers, Position, Score, numbers
from dmt_ray.report.tables.raw import raw
from dmt_ray.report.titles import COLUMNS, METRIC_NOTES, NONE, NOTHING_CHOSEN, in_units
from dmt_ray.results import names
from dmt_ray.results.tidy import headline


@dataclass(frozen=True)
class Table:
    """A finished table."""

    title: str  # the question of the ablation
    blocks: tuple[Block, ...]  # the grids, in the order in which they are read
    caption: tuple[str, ...]  # what everything means, a sentence or two each
    footer: tuple[str, ...]  # what the table was made from
    raw: pd.DataFrame  # every number, one line per row, column and rule; scores are fractions
    measure: str = ""  # what the rows are measured by, with its unit
    label: str = ""  # a name to refer to it by


def build(
    frame: pd.DataFrame,
    *,
    metric: str | None = None,
    reference: str | None = None,
    paper: PaperNumbers | None = None,
    commands: Mapping[tuple[str, str], str] | None = None,
    per_class: bool = False,
    metrics: Sequence[str] = (),
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
        metrics: Further metrics, each a column under the first rule, and its paired differences.

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
    name = in_units(metric)
    blocks = list(_overview(content, name))
    for column in content.columns:
        blocks.append(_scores(content, column, name, commands))
        compared = {(position.column, position.rule) for position in content.comparisons}
        blocks += [_differences(content, column, rule) for rule in content.rules if (column, rule) in compared]
    blocks += list(further(frame, content, metrics))
    blocks += list(agreement(frame, content))
    if per_class:
        blocks += list(by_class(frame, content))
    if paper is not None:
        blocks += list(_paper(content, paper))
    return Table(
        title=str(origin.get("title") or frame["question"].iloc[0]),
        blocks=tuple(blocks),
        caption=(*caption(frame, content, origin), *(METRIC_NOTES[one] for one in metrics if one in METRIC_NOTES)),
        footer=tuple(footer(frame, content, origin)),
        raw=raw(content, paper),
        measure=name,
        label=names.file("-".join(dict.fromkeys([str(frame["question"].iloc[0]), str(origin.get("recipe", ""))]))),
    )


def _overview(content: Numbers, name: str) -> Iterator[Block]:
    """All columns side by side, under the first rule."""
    rule = content.rules[0]
    for start in range(0, len(content.columns), MANY) if len(content.columns) > 1 else ():
        columns = content.columns[start : start + MANY]
        places = {row: [Position(row, column, rule) for column in columns] for row in content.rows}
        rows = [(Cell(row), *(score_cell(content, place) for place in own)) for row, own in places.items()]
        yield Block(f"{name}, {COLUMNS[rule]}", ("", *columns), tuple(rows))


def _scores(content: Numbers, column: str, name: str, commands: Mapping[tuple[str, str], str]) -> Block:
    rows, notes, missing = [], [], []
    for row in content.rows:
        first = content.scores[Position(row, column, content.rules[0])]
        cells = [score_cell(content, Position(row, column, rule)) for rule in content.rules]
        rows.append((Cell(row), *cells, Cell(_cost(first)), Cell(_hours(first))))
        for pair, why in first.failed.items():
            notes.append(f"{row}, seed {pair.seed} failed: {why.splitlines()[0] if why else 'the reason is unknown'}")
        if (first.missing or first.failed) and (row, column) in commands:
            missing.append((row, commands[row, column]))
    header = ("", *(COLUMNS[rule] for rule in content.rules), "models × steps", "device h")
    return Block(labelled(content, column, name), header, tuple(rows), tuple(notes), tuple(missing))


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
        choices = () if rule in NOTHING_CHOSEN else (Cell(_range(score.snapshots)),)
        if content.looks:
            rows.append((Cell(row), *at_looks(content, compared)[: 3 if decides else 2], *choices))
            continue
        rows.append((Cell(row), *(compared_cells(compared) if compared else [Cell(NONE)] * 5), *choices))
        pairs = compared.wins.pairs if compared else 0
        gaps = score.values and reference.values and pairs < max(score.planned, reference.planned)
        if gaps and decides:  # the pairs are the same under every rule
            notes.append(
                f"{row}: paired on the {pairs} (split, seed) that both rows have; {row} has {len(score.values)} of "
                f"{score.planned} runs, {content.reference} {len(reference.values)} of {reference.planned}. "
                "The difference is that of the pairs, not of the two means."
            )
    best_of = [] if rule in NOTHING_CHOSEN else ["best of"]
    kinds: tuple[str, ...] = ("difference, 95 % t", "pooled", "wins", "sign-flip p", "Holm")
    if content.looks:
        kinds = ("difference, 95 %", "wins", "decided")[: 3 if decides else 2]
    header = ("", *kinds, *best_of)
    of = "" if rule in NOTHING_CHOSEN else f" (itself best of {_range(reference.snapshots)})"
    title = labelled(content, column, f"Difference to {content.reference}{of}, {COLUMNS[rule]}")
    return Block(title, header, tuple(rows), tuple(notes))


def _range(counts: Sequence[int]) -> str:
    if not counts:
        return NONE
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


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
        header = ("", "", f"ours, {COLUMNS[rule]}", paper.name, "ours - paper's")
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
