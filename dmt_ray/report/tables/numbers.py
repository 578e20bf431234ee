"""From tidy records to the numbers of a table: scores of cells, differences to the reference, which rows to mark.

All scores are fractions in 0..1, as in the records. Nothing is formatted here; `dmt_ray.report.tables.build` does that.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product, starmap
from typing import Any, Literal, NamedTuple

import pandas as pd

from dmt_ray.config import nearest
from dmt_ray.report.titles import COLUMNS
from dmt_ray.results.quality import LOWER
from dmt_ray.results.sequential import Outcome, error_of_a_look, outcome
from dmt_ray.results.statistics import (
    LEVEL,
    Interval,
    SignFlip,
    Wins,
    common,
    holm,
    mean_and_sd,
    paired_interval,
    pooled_error_of,
    pooled_interval,
    sign_flip,
    wins,
)

# The method that sees all labels. As an upper bound it must not hide what is best below it; and as no split of the
# labels moves its score, it does not belong in an error that is pooled because splits move all rows alike.
ORACLE = "oracle"
NEEDED = (
    *("row", "column", "method", "data", "fingerprint", "config", "seed", "split", "split_digest", "state", "error"),
    *("rule", "model", "images", "metric", "value", "snapshots", "models", "steps", "device_seconds"),
)

Mark = Literal["", "bold", "underline"]


class Pair(NamedTuple):
    """What two runs must share to be compared. The digest guards against different splits with the same name."""

    seed: int
    split: str
    split_digest: str


@dataclass(frozen=True)
class Score:
    """A cell of the table under one selection rule; costs are means over the runs, NaN where unknown."""

    values: Mapping[Pair, float]  # of each run that is there, in the order of the seeds
    planned: int  # how many runs the cell should have
    failed: Mapping[Pair, str] = field(default_factory=dict)  # why they failed
    snapshots: tuple[int, ...] = ()  # among how many models the rule chose, from the fewest to the most over the runs
    models: int = 0  # how many models a run trains; 0 where unknown
    steps: float = math.nan  # optimizer steps of all models of a run together
    device_seconds: float = math.nan  # seconds of all devices of a run together

    @property
    def missing(self) -> int:
        """How many runs are neither complete nor known to have failed."""
        return self.planned - len(self.values) - len(self.failed)

    @property
    def mean(self) -> float:
        """Mean over the complete runs; NaN if there are none."""
        return mean_and_sd(list(self.values.values()))[0] if self.values else math.nan

    @property
    def sd(self) -> float:
        """Sample standard deviation over the complete runs; NaN if there are fewer than two."""
        return mean_and_sd(list(self.values.values()))[1] if self.values else math.nan


@dataclass(frozen=True)
class Comparison:
    """A row minus the reference row, paired by (split, seed).

    Attributes:
        paired: Mean and 95 % interval; of a table with looks the interval that is right at all of them at once.
        pooled: With the error of all rows; without ends in a table with looks, as p are NaN: they know of no looks.
        wins: Pairs in which the row is above the reference.
        test: Sign-flip test.
        holm: Its p, adjusted for the rows beside it.
        outcome: Of a table with looks: which of them decided the row.
    """

    paired: Interval
    pooled: Interval
    wins: Wins
    test: SignFlip
    holm: float
    outcome: Outcome | None = None

    @property
    def starred(self) -> bool:
        """Whether the adjusted p is at most .05, which it cannot be where the floor is higher."""
        return self.holm <= 1 - LEVEL + 1e-12


class Position(NamedTuple):
    """The position of a score: row, column, selection rule."""

    row: str
    column: str
    rule: str


@dataclass(frozen=True)
class Numbers:
    """All numbers of a table, by `Position`. Rows, columns and rules are in display order."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    rules: tuple[str, ...]
    reference: str
    methods: Mapping[str, str]
    configs: Mapping[tuple[str, str], str]
    scores: Mapping[Position, Score]
    comparisons: Mapping[Position, Comparison]
    marks: Mapping[Position, Mark]
    looks: tuple[int, ...] = ()  # numbers of seeds after which it was seen which rows are decided; (): all have all
    audited: Mapping[tuple[str, str], bool] = field(default_factory=dict)  # (row, column) -> whether it agrees

    @property
    def error(self) -> float:
        """How often the interval of a row may miss the truth at a look (`sequential.error_of_a_look`)."""
        return error_of_a_look(self.looks, max(1, len(self.rows) - 1))

    def open_rows(self) -> set[tuple[str, str]]:
        """The rows and columns that no look has decided, by the first rule."""
        rule = self.rules[0]
        return {
            (row, column)
            for row, column in product(self.rows, self.columns)
            if row != self.reference and self._look(Position(row, column, rule)) is None
        }

    def _look(self, position: Position) -> int | None:
        found = self.comparisons.get(position)
        return None if found is None or found.outcome is None else found.outcome.look


@dataclass(frozen=True)
class PaperNumbers:
    """The numbers a paper prints; those that `columns` does not name have a different protocol and are shown apart."""

    name: str  # the table, as "DMT, Table 9"
    protocol: str  # how it was measured, in one sentence
    values: pd.DataFrame  # columns row, column, value and sd (NaN: none printed), in percent
    selection: str  # the rule that chose the models of the paper: "last", "val", "paper", or "unknown"
    columns: Mapping[str, str]  # our column -> the paper's, where data, network and training are the same

    def printed(self) -> dict[tuple[str, str], tuple[float, float]]:
        """(row, the paper's column) -> value and sd."""
        keys = zip(self.values["row"], self.values["column"], strict=True)
        found = zip(self.values["value"].astype(float), self.values["sd"].astype(float), strict=True)
        return dict(zip(keys, found, strict=True))


def numbers(frame: pd.DataFrame, metric: str, reference: str) -> Numbers:
    """Read a tidy frame (`dmt_ray.results.tidy`).

    Args:
        frame: The records, rows and columns of the table in the order in which they first occur.
        metric: Which metric of the test images, such as "miou".
        reference: The row that the others are compared with.

    Raises:
        ValueError: If the frame lacks columns, holds a run twice or a score that is not finite, mixes data sets in one
            column, or has no such metric or reference.
    """
    lacking = [name for name in NEEDED if name not in frame]
    if lacking or frame.empty:
        got = f"{len(frame):,} lines and lack the columns {lacking}"
        raise ValueError(f"a table is made of tidy records, but these have {got}")
    rows, columns = (tuple(dict.fromkeys(frame[name])) for name in ("row", "column"))
    if reference not in rows:
        raise ValueError(f"the reference {reference!r} is not a row; {nearest(reference, rows)}")
    for column, part in frame.groupby("column", sort=False):
        data = part[["data", "fingerprint"]].drop_duplicates().to_dict("records")
        if len(data) > 1:
            raise ValueError(f"column {column!r} mixes data, which do not belong in one table: {data}")
    present = frame[(frame["state"] == "there") & (frame["images"] == "reported") & (frame["metric"] == metric)]
    if present.empty and (frame["state"] == "there").any():
        known = [name for name in dict.fromkeys(frame["metric"]) if isinstance(name, str)]
        raise ValueError(f"no record has the metric {metric!r} on the test images; {nearest(metric, known)}")
    present = _with_ensembles_of_one(present)
    rules = tuple(rule for rule in COLUMNS if (present["rule"] == rule).any()) or ("last",)
    origin: Mapping[str, Any] = frame.attrs.get("about", {})
    looks, seeds = tuple(origin.get("looks", ())), tuple(origin.get("seeds", ()))
    scores = _scores(frame, present, rows, columns, rules, even=not looks)
    comparisons: dict[Position, Comparison] = {}
    marks: dict[Position, Mark] = {}
    methods = dict(zip(frame["row"], frame["method"], strict=True))
    for column, rule in product(columns, rules):
        block = {row: scores[Position(row, column, rule)] for row in rows}
        below = {row: score for row, score in block.items() if methods[row] != ORACLE}
        if looks:
            compared = _compare_at_looks(block, reference, seeds, looks)
        else:
            compared = _compare(block, reference, pooled=list(below))
            marks |= {Position(row, column, rule): mark for row, mark in _marks(below, metric in LOWER).items()}
        comparisons |= {Position(row, column, rule): found for row, found in compared.items()}
    configs = dict(zip(zip(frame["row"], frame["column"], strict=True), frame["config"], strict=True))
    audit = origin.get("audit", {})
    audited = {(row, column): what == "agrees" for what in ("agrees", "differs") for row, column in audit.get(what, ())}
    return Numbers(rows, columns, rules, reference, methods, configs, scores, comparisons, marks, looks, audited)


def _with_ensembles_of_one(present: pd.DataFrame) -> pd.DataFrame:
    """The same lines; where some rows have an ensemble, that of a run with a single model is this model."""
    together = present[present["rule"] == "ensemble"]
    if together.empty:
        return present
    alone = present[(present["rule"] == "last") & (present["model"] != "mean")]
    return pd.concat([present, alone.assign(rule="ensemble")])


def _scores(
    frame: pd.DataFrame,
    present: pd.DataFrame,
    rows: Sequence[str],
    columns: Sequence[str],
    rules: Sequence[str],
    *,
    even: bool,
) -> dict[Position, Score]:
    """The score of every position; `even`: whether all rows of a column should have the same seeds."""
    runs: dict[tuple[str, str], dict[Pair, Any]] = defaultdict(dict)
    seeds: dict[str, set[int]] = defaultdict(set)  # of a column: all rows should have them all
    for line in _lines(frame.drop_duplicates(["row", "column", *Pair._fields])):
        runs[line.row, line.column][_pair(line)] = line
        seeds[line.column].add(line.seed)
    scored: dict[Position, dict[Pair, Any]] = defaultdict(dict)
    for line in _lines(present):
        position, pair = Position(line.row, line.column, line.rule), _pair(line)
        if pair in scored[position] and line.rule in rules:
            raise ValueError(f"{position} has two scores for {pair}: every run may be in the records once")
        if not math.isfinite(line.value):
            raise ValueError(f"{position}, {pair}: the score {line.value} is not finite, although its state is 'there'")
        scored[position][pair] = line
    found = {}
    for position in starmap(Position, product(rows, columns, rules)):
        own = runs[position.row, position.column]
        models = next(reversed(own.values())).models if own else 0
        # Sorted, so that sums do not depend on the order of the records.
        lines = dict(sorted(scored[position].items(), key=lambda item: item[0]))
        found[position] = Score(
            values={pair: float(line.value) for pair, line in lines.items()},
            planned=len(own) + (len(seeds[position.column] - {pair.seed for pair in own}) if even else 0),
            failed={pair: str(own[pair].error) for pair in sorted(own) if own[pair].state == "failed"},
            snapshots=tuple(sorted({int(line.snapshots) for line in lines.values()})),
            models=0 if pd.isna(models) else int(models),
            steps=_mean(float(line.steps) for line in lines.values()),
            device_seconds=_mean(float(line.device_seconds) for line in lines.values()),
        )
    return found


def _lines(frame: pd.DataFrame) -> Iterator[Any]:
    yield from frame.itertuples(index=False)


def _pair(line: Any) -> Pair:
    return Pair(int(line.seed), str(line.split), str(line.split_digest))


def _mean(values: Iterable[float]) -> float:
    finite = sorted(value for value in values if math.isfinite(value))
    return math.fsum(finite) / len(finite) if finite else math.nan


def _compare(block: Mapping[str, Score], reference: str, pooled: Sequence[str]) -> dict[str, Comparison]:
    """Comparisons of all rows of a block that share a run with the reference; some use the pooled error."""
    error, freedom = pooled_error_of([block[row].values for row in pooled])
    found = {}
    for row, score in block.items():
        pairs, differences = common(score.values, block[reference].values)
        if row != reference and pairs:
            found[row] = (
                paired_interval(differences),
                pooled_interval(differences, error, freedom if {row, reference} <= set(pooled) else 0),
                wins(differences),
                sign_flip(differences),
            )
    adjusted = holm([test.p for *_, test in found.values()])
    return {row: Comparison(*values, p) for (row, values), p in zip(found.items(), adjusted, strict=True)}


def _compare_at_looks(
    block: Mapping[str, Score], reference: str, seeds: Sequence[int], looks: tuple[int, ...]
) -> dict[str, Comparison]:
    """Comparisons of all rows of a block that share a run with the reference, at the looks."""
    unknown, error = Interval(math.nan, math.nan, math.nan), error_of_a_look(looks, max(1, len(block) - 1))
    found = {}
    for row, score in block.items():
        pairs, differences = common(score.values, block[reference].values)
        if row == reference or not pairs:
            continue
        by_seed = {pair.seed: float(value) for pair, value in zip(pairs, differences, strict=True)}
        at = outcome(by_seed, _ended(score) & _ended(block[reference]), seeds, looks, error)
        counted = wins([by_seed[seed] for seed in at.seeds]) if at.seeds else Wins(0, 0, 0)
        found[row] = Comparison(at.interval, unknown, counted, SignFlip(math.nan, math.nan), math.nan, at)
    return found


def _ended(score: Score) -> set[int]:
    """The seeds on which a row is complete or has failed."""
    return {pair.seed for pair in (*score.values, *score.failed)}


def _marks(block: Mapping[str, Score], lower: bool) -> dict[str, Mark]:
    """Bold for a best row whose paired interval to every other row excludes 0; else underlines for all that tie.

    A row that cannot be compared with the best one, for want of two common runs, ties. Where nothing can be compared
    nothing is marked. `lower`: whether less is better.
    """
    most = max((len(score.values) for score in block.values()), default=0)
    ranked = {row: score for row, score in block.items() if score.values and (most < 2 or len(score.values) > 1)}
    if len(ranked) < 2:
        return {}
    best = (min if lower else max)(ranked, key=lambda row: ranked[row].mean)
    intervals = {}
    for row, score in ranked.items():
        pairs, differences = common(ranked[best].values, score.values)
        if row != best:
            intervals[row] = paired_interval(differences) if pairs else Interval(math.nan, math.nan, math.nan)
    if not any(interval.known for interval in intervals.values()):
        return {}
    tied = [row for row, interval in intervals.items() if not interval.excludes_zero]
    return {best: "bold"} if not tied else {row: "underline" for row in ranked if row == best or row in tied}
