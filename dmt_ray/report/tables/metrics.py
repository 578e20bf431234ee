"""Blocks of a table beside that of its measure: other metrics, agreement of teachers, scores of each class."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

import pandas as pd

from dmt_ray.report.tables.grid import MANY, Block, Cell, compared_cells, labelled, score_text
from dmt_ray.report.tables.numbers import Numbers, Position, Score, numbers
from dmt_ray.report.titles import COLUMNS, NONE, NOTHING_CHOSEN, in_units, mean_text
from dmt_ray.results.tidy import headline

CLASSES = 7  # columns of classes that stand side by side in 120 characters
EMPTY = Score({}, 0)
UNRECORDED = "What is missing here was not recorded: some evaluations are of an earlier version."


def further(frame: pd.DataFrame, content: Numbers, metrics: Sequence[str]) -> Iterator[Block]:
    """Further metrics side by side, and below them their differences to the reference.

    They are those of the models after the last rung, on average and, where they are scored so, together.
    """
    of_all = {metric: _numbers_of(frame, metric, content) for metric in metrics}
    rules = [rule for rule in content.rules if rule in NOTHING_CHOSEN] if metrics else []
    for column, rule, start in product(content.columns, rules, range(0, len(metrics), MANY)):
        part = {metric: of_all[metric] for metric in metrics[start : start + MANY]}
        yield from _side_by_side(content, part, column, rule)


def _side_by_side(content: Numbers, part: Mapping[str, Numbers], column: str, rule: str) -> Iterator[Block]:
    """The scores of some metrics in a column under a rule, and their differences to the reference."""
    scores, differences, lacking = [], [], False
    for row in content.rows:
        place = Position(row, column, rule)
        own = [found.scores.get(place, EMPTY) for found in part.values()]
        lacking = lacking or any(content.scores[place].values and not score.values for score in own)
        marks = [found.marks.get(place, "") for found in part.values()]
        scores.append((Cell(row), *(Cell(score_text(score), mark) for score, mark in zip(own, marks, strict=True))))
        if row != content.reference:
            compared = [found.comparisons.get(place) for found in part.values()]
            differences.append((Cell(row), *(compared_cells(one)[0] if one else Cell(NONE) for one in compared)))
    header, notes = ("", *map(in_units, part)), (UNRECORDED,) if lacking else ()
    yield Block(labelled(content, column, f"Other metrics, {COLUMNS[rule]}"), header, tuple(scores), notes)
    to = f"Difference to {content.reference} in other metrics, 95 % t, {COLUMNS[rule]}"
    yield Block(labelled(content, column, to), header, tuple(differences))


def _numbers_of(frame: pd.DataFrame, metric: str, content: Numbers) -> Numbers:
    """The numbers of a metric that some records, or all, may lack: what they lack counts as missing."""
    if ((frame["metric"] == metric) & (frame["images"] == "reported")).any():
        return numbers(frame, metric, content.reference)
    scores = {place: replace(score, values={}, snapshots=()) for place, score in content.scores.items()}
    return replace(content, scores=scores, comparisons={}, marks={})


def agreement(frame: pd.DataFrame, content: Numbers) -> Iterator[Block]:
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


def by_class(frame: pd.DataFrame, content: Numbers) -> Iterator[Block]:
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
            title = labelled(content, column, f"{name} (%) of each class, {COLUMNS[rule]}")
            yield Block(title, ("", *(metric.removeprefix(start) for metric in part)), tuple(rows))


def _class_text(score: Score, cell: Score) -> str:
    if not score.values:
        return NONE
    spread = f" ± {100 * score.sd:.1f}" if len(score.values) > 1 else ""
    count = f" (n={len(score.values)})" if len(score.values) < cell.planned else ""
    return f"{100 * score.mean:z.1f}{spread}{count}"
