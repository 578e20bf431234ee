"""Forest plot: every row's difference to the reference, paired by seed, with its interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dmt_ray.errors import MissingStages
from dmt_ray.report.figures.kit import INK, PALE, SMALL, TITLE, Look, calm, darker, name_axes, new_axes, styles
from dmt_ray.report.tables.numbers import Position, numbers
from dmt_ray.report.titles import RULES_IN_FULL
from dmt_ray.results.statistics import Interval, common, paired_interval, pooled_error_of, pooled_interval
from dmt_ray.results.tidy import headline, scored


@dataclass(frozen=True)
class Difference:
    """A row minus the reference."""

    row: str  # name of the row
    values: tuple[float, ...]  # A difference for every seed that both have, fractions
    paired: Interval  # mean and 95 % t interval of these
    pooled: Interval  # the same with the error pooled over all rows; without ends where that cannot be told

    @property
    def wins(self) -> int:
        """Seeds on which the row is above the reference."""
        return sum(value > 0 for value in self.values)


def paired_differences(
    frame: pd.DataFrame,
    column: str,
    reference: str | None = None,
    *,
    rule: str = "last",
    leave_out: Sequence[str] = ("oracle",),
) -> list[Difference]:
    """Differences in test scores to the reference, in the order of the rows.

    Args:
        reference: A row; None: that of the ablation.
        leave_out: Methods that would stretch the axis, and whose difference is no question.

    Raises:
        MissingStages: If no other row has a seed in common with the reference.
    """
    reference = reference or str(frame.attrs["about"]["reference"])
    lines = scored(frame, column=column, rule=rule)
    scores: dict[str, dict[int, float]] = {}
    for row, seed, value in lines[~lines["method"].isin(leave_out)][["row", "seed", "value"]].itertuples(index=False):
        scores.setdefault(str(row), {})[int(seed)] = float(value)
    base = scores.get(reference, {})
    error, freedom = pooled_error_of(list(scores.values()))
    looks = bool(frame.attrs["about"].get("looks"))
    at_looks = numbers(frame, headline(frame), reference).comparisons if looks else {}
    compared = []
    for row, values in scores.items():
        keys, differences = common(values, base)
        if row == reference or not keys:
            continue
        paired = at_looks[Position(row, column, rule)].paired if looks else paired_interval(differences)
        pooled = pooled_interval(differences, error, 0 if looks else freedom)
        compared.append(Difference(row, tuple(map(float, differences)), paired, pooled))
    if not compared:
        raise MissingStages(f"no row has a seed in common with the reference {reference!r} yet")
    return compared


def forest_plot(
    differences: Sequence[Difference], reference: str, *, rule: str = "last", measure: str = "mIoU"
) -> Figure:
    """Differences in percentage points: dots are seeds, thick bars the paired 95 % interval, thin ones the pooled.

    Filled means stand where the paired interval excludes 0, hollow ones where it does not.

    Args:
        differences: As `paired_differences` gives them, drawn from top to bottom.
    """
    figure, axes = new_axes(1.6 + 0.36 * len(differences))
    look = styles([one.row for one in differences])
    axes.axvline(0, color="#666666", linewidth=0.9, zorder=1)
    for place, one in enumerate(differences):
        color = look[one.row].color
        values = 100 * np.array(one.values)
        if one.pooled.known:
            axes.plot([100 * one.pooled.low, 100 * one.pooled.high], [place + 0.3] * 2, color=PALE, linewidth=1.2)
        if one.paired.known:
            axes.plot([100 * one.paired.low, 100 * one.paired.high], [place] * 2, color=color, linewidth=2.4, zorder=3)
        axes.scatter(values, [place] * len(values), s=9, color="black", alpha=0.55, linewidth=0, zorder=4)
        face = color if one.paired.excludes_zero else "white"
        square: Look = {"markersize": 7, "markerfacecolor": face, "markeredgecolor": color, "zorder": 5}
        axes.plot(100 * one.paired.mean, place, "s", **square)
        beside = axes.get_yaxis_transform()
        axes.text(1.02, place, _as_text(one), transform=beside, va="center", fontsize=SMALL, color=darker(color))
    axes.set_yticks(range(len(differences)), [one.row for one in differences])
    axes.set_ylim(len(differences) - 0.4, -0.6)
    axes.margins(x=0.05)
    calm(axes, grid="x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.text(1.02, 1.0, "mean [95 % interval]  wins", transform=axes.transAxes, va="bottom", fontsize=SMALL, color=INK)
    name_axes(axes, f"test {measure} minus {reference}, same seed (points)")
    axes.set_title(RULES_IN_FULL[rule], fontsize=TITLE, loc="left", color=INK, pad=16)
    key = "dots: seeds; thick: paired t interval, mean filled where it excludes 0;\n"
    figure.supxlabel(key + "grey: interval with the error pooled over all rows", fontsize=SMALL, color=INK)
    return figure


def _as_text(row: Difference) -> str:
    ends = f" [{100 * row.paired.low:+.2f}, {100 * row.paired.high:+.2f}]" if row.paired.known else ""
    return f"{100 * row.paired.mean:+.2f}{ends}  {row.wins}/{len(row.values)}"
