"""The raw numbers of a table, for further calculations."""

import math
from itertools import product

import pandas as pd

from dmt_ray.report.tables.numbers import Comparison, Numbers, PaperNumbers, Position


def raw(content: Numbers, paper: PaperNumbers | None) -> pd.DataFrame:
    """Every number of a table, one line per row, column and rule; scores are fractions, the paper's are percent."""
    printed = {} if paper is None else paper.printed()
    lines = []
    for column, rule, row in product(content.columns, content.rules, content.rows):
        position = Position(row, column, rule)
        score, theirs = content.scores[position], "" if paper is None else paper.columns.get(column, "")
        paper_value, paper_sd = printed.get((row, theirs), (math.nan, math.nan))
        fewest, most = (score.snapshots[0], score.snapshots[-1]) if score.snapshots else (math.nan, math.nan)
        lines.append(
            position._asdict()
            | {"method": content.methods[row], "config": content.configs.get((row, column), "")}
            | {"planned": score.planned, "n": len(score.values), "failed": len(score.failed), "missing": score.missing}
            | {"mean": score.mean, "sd": score.sd, "mark": content.marks.get(position, "")}
            | {"snapshots_fewest": fewest, "snapshots_most": most, "models": score.models, "steps": score.steps}
            | {"device_seconds": score.device_seconds, "reference": content.reference}
            | _comparison(content.comparisons.get(position))
            | {"paper_percent": paper_value, "paper_sd_percent": paper_sd}
        )
    return pd.DataFrame(lines)


def _comparison(comparison: Comparison | None) -> dict[str, float]:
    names = ("pairs", "wins", "ties", "difference", "low", "high", "pooled_low", "pooled_high", "p", "floor", "holm")
    if comparison is None:
        return dict.fromkeys(names, math.nan) | {"star": False, "look": math.nan, "needed": math.nan}
    wins, paired, pooled, test = comparison.wins, comparison.paired, comparison.pooled, comparison.test
    values = [wins.pairs, wins.wins, wins.ties, paired.mean, paired.low, paired.high]
    values += [pooled.low, pooled.high, test.p, test.floor, comparison.holm]
    at = comparison.outcome
    look = math.nan if at is None or at.look is None else at.look + 1
    needed = math.nan if at is None or at.needed is None else at.needed
    return dict(zip(names, values, strict=True)) | {"star": comparison.starred, "look": look, "needed": needed}
