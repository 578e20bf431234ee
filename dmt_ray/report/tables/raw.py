"""The raw numbers of a table, for those who want to calculate on."""

import math

import pandas as pd

from dmt_ray.report.tables.numbers import Comparison, Numbers, PaperNumbers, Position


def raw(found: Numbers, paper: PaperNumbers | None) -> pd.DataFrame:
    """Every number of a table, one line a row, column and rule; scores are fractions, the paper's are percent."""
    printed = {} if paper is None else paper.printed()
    lines = []
    for column in found.columns:
        for rule in found.rules:
            for row in found.rows:
                position = Position(row, column, rule)
                score, one = found.scores[position], found.comparisons.get(position)
                theirs = None if paper is None else paper.columns.get(column)
                paper_value, paper_sd = printed.get((row, theirs or ""), (math.nan, math.nan))
                line = {
                    **position._asdict(),
                    "method": found.methods[row],
                    "config": found.configs.get((row, column), ""),
                    "planned": score.planned,
                    "n": len(score.values),
                    "failed": len(score.failed),
                    "missing": score.missing,
                    "mean": score.mean,
                    "sd": score.sd,
                    "mark": found.marks.get(position, ""),
                    "snapshots_fewest": score.snapshots[0] if score.snapshots else math.nan,
                    "snapshots_most": score.snapshots[-1] if score.snapshots else math.nan,
                    "models": score.models,
                    "steps": score.steps,
                    "device_seconds": score.device_seconds,
                    "reference": found.reference,
                    **_raw_comparison(one),
                    "paper_percent": paper_value,
                    "paper_sd_percent": paper_sd,
                }
                lines.append(line)
    return pd.DataFrame(lines)


COMPARISON = ("pairs", "wins", "ties", "difference", "low", "high", "pooled_low", "pooled_high", "p", "floor", "holm")


def _raw_comparison(one: Comparison | None) -> dict[str, float]:
    if one is None:
        return dict.fromkeys(COMPARISON, math.nan) | {"star": False}
    return {
        "pairs": one.wins.pairs,
        "wins": one.wins.wins,
        "ties": one.wins.ties,
        "difference": one.paired.mean,
        "low": one.paired.low,
        "high": one.paired.high,
        "pooled_low": one.pooled.low,
        "pooled_high": one.pooled.high,
        "p": one.test.p,
        "floor": one.test.floor,
        "holm": one.holm,
        "star": one.starred,
    }
