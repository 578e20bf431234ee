"""Score after each iteration: whether a method still gains when the last pseudo labels come in (DMT, Fig. 11)."""

from collections.abc import Mapping
from typing import Literal

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dmt_ray.errors import MissingStages
from dmt_ray.report.figures.look import bars, calm, intervals, name_axes, name_ends, new_figure, over_seeds, styles
from dmt_ray.results.tidy import headline

HEIGHT = 3.6


def iteration_scores(
    frame: pd.DataFrame, column: str, images: Literal["selection", "reported"] = "reported"
) -> dict[str, pd.DataFrame]:
    """Score per iteration of the rows that have iterations.

    Args:
        frame: The tidy table (`dmt_ray.results.tidy`).
        column: A column of the ablation.
        images: Which images are scored.

    Returns:
        Row -> fractions, one line a seed, one column an iteration, the mean over the models. Baseline, Oracle and
        Online ST are left out: they have no iterations.

    Raises:
        MissingStages: If no row has any.
    """
    asked = (frame["column"] == column) & (frame["rule"] == "each") & (frame["metric"] == headline(frame))
    there = frame[asked & (frame["images"] == images) & (frame["method"] != "online_st")]
    found = {}
    for row, lines in there.groupby("row", sort=False):
        scores = lines.pivot_table(index="seed", columns="rung", values="value", aggfunc="mean", sort=False)
        if scores.shape[1] > 1:
            found[str(row)] = scores.sort_index(axis=1)
    if not found:
        raise MissingStages("no row with iterations, such as DST or DMT, is complete yet")
    return found


def score_by_iteration(
    scores: Mapping[str, pd.DataFrame],
    *,
    gain: bool = False,
    images: Literal["selection", "reported"] = "reported",
    measure: str = "mIoU",
) -> Figure:
    """Score of each row after each iteration: means over seeds with 95 % t intervals.

    Args:
        scores: Row -> fractions, one line a seed, one column an iteration; iteration 0 is before any pseudo label.
        gain: Draw the difference to the same seed's iteration 0, in percentage points. How hard a seed's split is
            drops out, so that intervals are much narrower.
        images: Which images were scored.
        measure: What the score is.
    """
    figure = new_figure(HEIGHT)
    axes = figure.add_subplot()
    look, ends = styles(scores), {}
    strength = 0.55 if len(scores) <= 3 else 0.35
    for place, (row, table) in enumerate(scores.items()):
        values = 100 * (table.sub(table[table.columns[0]], axis=0) if gain else table)
        found = intervals([values[rung] for rung in values.columns])
        # Intervals stand side by side: one on the other nobody can tell whose they are.
        shift = 0.05 * (place - (len(scores) - 1) / 2)
        x = [float(rung) + shift for rung in values.columns]
        means = [one.mean for one in found]
        axes.plot(x, means, color=look[row].color, linewidth=1.7, marker=look[row].marker, markersize=4.5, zorder=3)
        axes.errorbar(
            x, means, bars(found), fmt="none", ecolor=look[row].color, elinewidth=1.0, alpha=strength, zorder=2
        )
        ends[row] = (x[-1], means[-1])
    if gain:
        axes.axhline(0, color="#888888", linewidth=0.9, zorder=1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(y=0.06)
    calm(axes)
    name_axes(
        axes,
        "iteration (0: before any pseudo label)",
        f"gain in {measure} since iteration 0 (points)" if gain else f"{measure} (%)",
        f"{images} images; {over_seeds(map(len, scores.values()))}",
    )
    axes.set_ylim(axes.get_ylim())
    name_ends(axes, ends, {row: style.color for row, style in look.items()}, HEIGHT - 0.9)
    return figure
