"""Score after each iteration: whether a method still gains when the last pseudo labels come in (DMT, Fig. 11)."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dmt_ray.errors import MissingStages
from dmt_ray.report.figures import kit
from dmt_ray.report.titles import IMAGES
from dmt_ray.results.tidy import scored


def iteration_scores(frame: pd.DataFrame, column: str, images: str = "reported") -> dict[str, pd.DataFrame]:
    """Score per iteration of the rows that have iterations.

    Returns:
        Row -> fractions, one line a seed, one column an iteration, the mean over the models. Baseline, Oracle and
        Online ST are left out: they have no iterations.

    Raises:
        MissingStages: If no row has any.
    """
    each = scored(frame, column=column, rule="each", images=images)
    tables = kit.seeds_by(each[each["method"] != "online_st"], "rung", "value")
    rows = {row: table for row, table in tables.items() if table.shape[1] > 1}
    if not rows:
        raise MissingStages("no row with iterations, such as DST or DMT, is complete yet")
    return rows


def score_by_iteration(
    scores: Mapping[str, pd.DataFrame], *, gain: bool = False, images: str = "reported", measure: str = "mIoU"
) -> Figure:
    """Score of each row after each iteration: means over seeds with 95 % t intervals.

    Args:
        scores: Row -> fractions, one line a seed, one column an iteration; iteration 0 is before any pseudo label.
        gain: Draw the difference to the same seed's iteration 0, in percentage points. How hard a seed's split is
            drops out, so that intervals are much narrower.
    """
    figure, axes = kit.new_axes()
    look, ends = kit.styles(scores), {}
    for place, (row, table) in enumerate(scores.items()):
        values = 100 * (table.sub(table[table.columns[0]], axis=0) if gain else table)
        # Intervals stand side by side: on top of each other nobody can tell whose they are.
        shift = 0.05 * (place - (len(scores) - 1) / 2)
        x = [float(rung) + shift for rung in values.columns]
        alpha = 0.55 if len(scores) <= 3 else 0.35
        ends[row] = kit.draw_means(axes, x, [values[rung] for rung in values.columns], look[row], alpha)
    if gain:
        axes.axhline(0, color=kit.FRAME, linewidth=0.9, zorder=1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(y=0.06)
    kit.calm(axes)
    y = f"gain in {measure} since iteration 0 (points)" if gain else f"{measure} (%)"
    title = f"{IMAGES[images]} images; {kit.over_seeds(map(len, scores.values()))}"
    kit.name_axes(axes, "iteration (0: before any pseudo label)", y, title)
    kit.name_ends(axes, ends, look, kit.HEIGHT - 0.9)
    return figure
