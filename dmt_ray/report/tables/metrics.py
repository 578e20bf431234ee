"""Blocks of a table beside that of its measure: other metrics, agreement of teachers, scores of each class."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pandas as pd

from dmt_ray.report.tables.grid import MANY, Block, Cell, compared_cells, labelled, score_cell
from dmt_ray.report.tables.numbers import Numbers, Position, Score, numbers
from dmt_ray.report.titles import COLUMNS, NONE, in_units, mean_text
from dmt_ray.results.tidy import headline

CLASSES = 7  # columns of classes that stand side by side in 120 characters
EMPTY = Score({}, 0)
UNRECORDED = "What is missing here was not recorded: some evaluations are of an earlier version."


def further(frame: pd.DataFrame, content: Numbers, metrics: Sequence[str]) -> Iterator[Block]:
    """Further metrics side by side under the first rule, and below them their differences to the reference."""
    rule = content.rules[0]
    for column in content.columns if metrics else ():
        for start in range(0, len(metrics), MANY):
            part = metrics[start : start + MANY]
            of_metric = {metric: _numbers_of(frame, metric, content) for metric in part}
            scores, differences = [], []
            for row in content.rows:
                place = Position(row, column, rule)
                scores.append((Cell(row), *(score_cell(found, place) for found in of_metric.values())))
                if row != content.reference:
                    compared = [found.comparisons.get(place) for found in of_metric.values()]
                    cells = (compared_cells(one)[0] if one else Cell(NONE) for one in compared)
                    differences.append((Cell(row), *cells))
            header = ("", *map(in_units, part))
            lacking = any(
                score.values and not found.scores[place].values
                for found in of_metric.values()
                for place, score in content.scores.items()
                if (place.column, place.rule) == (column, rule)
            )
            notes = (UNRECORDED,) if lacking else ()
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
