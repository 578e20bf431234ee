"""Reliability diagrams: how often decisions are right, by how confident the model is of them."""

from collections.abc import Iterable
from functools import reduce

import pandas as pd
from matplotlib.figure import Figure

from dmt_ray.errors import MissingStages
from dmt_ray.experiments.ablation import Member
from dmt_ray.report.figures.kit import (
    GREY,
    SMALL,
    calm,
    draw_bars,
    intervals,
    legend_below,
    name_axes,
    new_axes,
    over_seeds,
    styles,
)
from dmt_ray.results.quality import reliability_bins
from dmt_ray.results.scores import metrics
from dmt_ray.store import Store

LEAST = 0.001  # fraction of all pixels below which a bin is left out: a few pixels say nothing
TOGETHER = "A and B"


def calibration(store: Store, runs: Iterable[Member]) -> pd.DataFrame:
    """Reliability of the models after the last iteration, on the test images.

    Returns:
        One line for a row, a seed and a bin of the confidence: row (of two models as one: "<row>, A and B"), seed, bin
        (from 0 on), share (of all pixels), confidence (mean) and right (fraction of the decisions). A run's models
        count together.

    Raises:
        MissingStages: If no record has probabilities.
    """
    pieces = []
    for one in runs:
        scored = {one.cell.row: list(one.plan.rungs[-1].values())}
        if one.plan.ensemble is not None and store.has(one.plan.ensemble):
            scored[f"{one.cell.row}, {TOGETHER}"] = [one.plan.ensemble]
        for row, evaluations in scored.items():
            values = [metrics(store, evaluation)["reported"] for evaluation in evaluations]
            if all("reliability" in each for each in values):
                pooled = reduce(pd.DataFrame.add, map(reliability_bins, values))
                counts = pooled["count"]
                piece = {"row": row, "seed": one.seed, "bin": pooled.index, "share": counts / counts.sum()}
                piece |= {"confidence": pooled["confidence"] / counts, "right": pooled["right"] / counts}
                pieces.append(pd.DataFrame(piece))
    if not pieces:
        raise MissingStages("no evaluation has recorded probabilities: those of earlier versions have not")
    return pd.concat(pieces, ignore_index=True)


def calibration_plot(bins: pd.DataFrame) -> Figure:
    """Reliability diagram (Guo et al. 2017, Fig. 1) of bins as `calibration` makes them: a line for a row.

    On the diagonal a model is right as often as it is confident; below it, it is too confident. Bins with less than
    0.1 % of the pixels are left out. In brackets is the ECE, mean over seeds.
    """
    figure, axes = new_axes(4.4)
    axes.plot([0, 100], [0, 100], color=GREY, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
    rows = list(dict.fromkeys(bins["row"]))
    look = styles(rows)
    for row in rows:
        own = bins[bins["row"] == row]
        gap = (own["share"] * (own["right"] - own["confidence"]).abs()).groupby(own["seed"]).sum().mean()
        groups = [group for _, group in own[own["share"] >= LEAST].groupby("bin")]
        x = [100 * float(group["confidence"].mean()) for group in groups]
        means = intervals([100 * group["right"] for group in groups])
        color, marker = look[row]
        dashes = "--" if row.endswith(f", {TOGETHER}") else "-"
        label = f"{row} ({100 * gap:.1f})"
        axes.plot(
            x, [one.mean for one in means], dashes, color=color, marker=marker, markersize=4, linewidth=1.6, label=label
        )
        draw_bars(axes, x, means, color)
    low = max(0.0, min(axes.get_xlim()[0], 100.0))
    axes.set_xlim(low, 101)
    axes.set_ylim(0, 101)
    calm(axes)
    axes.text(99, 3, "below the diagonal: too sure", ha="right", va="bottom", fontsize=SMALL, color=GREY)
    title = f"test images, {over_seeds(bins.groupby('row')['seed'].nunique())}; in brackets: ECE (%)"
    name_axes(axes, "mean confidence of a bin (%)", "decisions that are right (%)", title)
    legend_below(figure, columns=2)
    return figure
