"""Do two networks that disagree more gain more from each other? Gain over initial disagreement, a point a pair."""

import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from dmt_ray.errors import MissingStages
from dmt_ray.experiments.sweep import Sweep, in_words
from dmt_ray.experiments.trials import complete
from dmt_ray.plan.words import counted
from dmt_ray.report.figures.kit import (
    BLUE,
    FRAME,
    INK,
    SMALL,
    calm,
    draw_bars,
    intervals,
    line_gap,
    name_axes,
    new_axes,
    spread_out,
)
from dmt_ray.report.figures.trials import SweepTrials
from dmt_ray.results.extra_metrics import disagreement, gain
from dmt_ray.store import Store

LEAST_PAIRS = 4  # fewest of which a rank correlation says anything
HEIGHT = 3.9  # inches


def disagreement_and_gain(swept: SweepTrials, store: Store) -> pd.DataFrame:
    """How far the two models of every complete trial differ at first, and what they gain from each other.

    Returns:
        One line for a trial and a seed: pair (its settings in words), seed, disagreement (the share of pseudo-labelled
        pixels to which the student would give another label, in the first iteration) and gain (of the better model, on
        the validation images), fractions.

    Raises:
        MissingStages: If no trial is complete, or none has models that label for each other.
    """
    sweep: Sweep = swept.sweep
    lines = []
    for trial in complete(swept.trials):
        for seed, plan in sweep.plans(trial.params).items():
            if not store.missing(plan.targets()):
                found = disagreement(store, {seed: plan}) | gain(store, {seed: plan})
                if {"disagreement_first", "gain"} <= found.keys():
                    line = {"pair": in_words(trial.params).removeprefix("pair="), "seed": seed, "gain": found["gain"]}
                    lines.append(line | {"disagreement": found["disagreement_first"]})
    if not lines:
        raise MissingStages("no trial whose models label for each other is complete yet")
    return pd.DataFrame(lines)


def pairs_plot(lines: pd.DataFrame, measure: str = "mIoU") -> Figure:
    """Gain over initial disagreement: a dot a pair, mean over seeds, with the 95 % t interval of its gain.

    Args:
        lines: As `disagreement_and_gain` makes them.
        measure: The name of the score.
    """
    figure, axes = new_axes(HEIGHT)
    groups = {str(pair): own for pair, own in lines.groupby("pair", sort=False)}
    x = [100 * float(own["disagreement"].mean()) for own in groups.values()]
    means = intervals([100 * own["gain"] for own in groups.values()])
    y = [one.mean for one in means]
    axes.axhline(0, color=FRAME, linewidth=0.9, zorder=1)
    axes.plot(x, y, "o", color=BLUE, markersize=7, markeredgecolor="white", zorder=3)
    draw_bars(axes, x, means, BLUE)
    axes.margins(x=0.12, y=0.12)
    calm(axes)
    axes.set_ylim(axes.get_ylim())
    for name, place, at in zip(groups, x, spread_out(y, line_gap(axes, HEIGHT - 1.0)), strict=True):
        where = {"textcoords": "offset points", "fontsize": SMALL, "color": INK, "va": "center"}
        axes.annotate(name, (place, at), (7, 0), **where)  # type: ignore[arg-type]
    seeds = lines["seed"].nunique()
    over = "one seed" if seeds == 1 else f"mean of {seeds} seeds, bars: 95 % t interval"
    title = f"{counted(len(groups), 'pair')}, {over}"
    if len(groups) >= LEAST_PAIRS:
        title += f"; rank correlation {spearmanr(x, y).statistic:+.2f}"
    what = "pixels where student and label disagree, first iteration (%)"
    name_axes(axes, what, f"gain of the better model,\nvalidation {measure} (points)", title)
    return figure
