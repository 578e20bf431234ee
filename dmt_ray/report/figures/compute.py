"""Compute against score: what a row's points of score cost, and which rows nothing else beats (the Pareto front)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from dmt_ray.errors import MissingStages
from dmt_ray.experiments.sweep import Trial
from dmt_ray.report.figures.look import (
    SMALL,
    bars,
    calm,
    darker,
    intervals,
    name_axes,
    name_ends,
    new_figure,
    over_seeds,
    spread_out,
    styles,
)
from dmt_ray.results.tidy import headline

HEIGHT = 4.0
UNITS = {"steps": "optimizer steps, of all its models (thousands)", "hours": "device-hours"}
NAMED = 12  # most points that all get their names; of more, those on the front do


@dataclass(frozen=True)
class Costly:
    """A row, or a trial.

    Attributes:
        name: Its name.
        cost: Optimizer steps summed over its models, or device-hours; mean over seeds.
        scores: Fractions, one a seed.
        models: How many models it trains; 0: unknown.
    """

    name: str
    cost: float
    scores: tuple[float, ...]
    models: int = 0


def costs(
    frame: pd.DataFrame,
    column: str,
    *,
    unit: Literal["steps", "hours"] = "steps",
    rule: Literal["last", "val", "paper"] = "last",
    leave_out: Sequence[str] = ("oracle",),
) -> list[Costly]:
    """What every complete row costs by itself, without what it shares with others, and what it scores.

    Args:
        frame: The tidy table (`dmt_ray.results.tidy`).
        column: A column of the ablation.
        unit: Of the cost. Device-hours are those of the machines that computed it.
        rule: Which selection rule's reported score.
        leave_out: Methods that no other row competes with: the oracle is given more labels.

    Raises:
        MissingStages: If no row is complete.
    """
    asked = (frame["column"] == column) & (frame["rule"] == rule) & (frame["metric"] == headline(frame))
    asked &= ~frame["method"].isin(leave_out)
    there = frame[asked & (frame["images"] == "reported") & (frame["state"] == "there")]
    found = []
    for row, lines in there.groupby("row", sort=False):
        cost = lines["steps"].mean() if unit == "steps" else lines["device_seconds"].mean() / 3600
        found.append(Costly(str(row), float(cost), tuple(map(float, lines["value"])), int(lines["models"].iloc[0])))
    if not found:
        raise MissingStages("no row is complete yet")
    return found


def trial_costs(trials: Iterable[Trial]) -> list[Costly]:
    """What the complete trials of a search for cheap settings cost, and what they score on the validation images.

    Raises:
        MissingStages: If no trial is complete, or the search minimises no compute.
    """
    found = [
        Costly(f"trial {trial.number}", trial.compute, (trial.score,))
        for trial in trials
        if trial.state == "complete" and trial.score is not None and trial.compute is not None
    ]
    if not found:
        raise MissingStages("no trial is complete whose compute is minimised beside the score")
    return found


def pareto(costs: ArrayLike, scores: ArrayLike) -> NDArray[np.bool_]:
    """Which points no other one beats, by less cost for as good a score or a better score at no higher cost.

    Args:
        costs: ``[n]``, the less the better.
        scores: ``[n]``, the more the better.

    Returns:
        bool ``[n]``; of points that are equal in both, all or none are on the front.
    """
    x, y = np.asarray(costs, np.float64), np.asarray(scores, np.float64)
    no_worse = (x[None, :] <= x[:, None]) & (y[None, :] >= y[:, None])
    better = (x[None, :] < x[:, None]) | (y[None, :] > y[:, None])
    return np.array([not beaten.any() for beaten in no_worse & better], dtype=np.bool_)


def score_against_compute(
    points: Sequence[Costly],
    *,
    unit: Literal["steps", "hours"] = "steps",
    images: str = "reported",
    measure: str = "mIoU",
) -> Figure:
    """Score against what it costs, with 95 % t intervals over seeds, and the Pareto front of the means.

    Args:
        points: The rows, or trials. Of more than twelve only those on the front are named.
        unit: Of the costs.
        images: Which images were scored.
        measure: What the score is.
    """
    figure = new_figure(HEIGHT)
    axes = figure.add_subplot()
    divisor = 1000 if unit == "steps" else 1
    x = np.array([point.cost for point in points]) / divisor
    found = intervals([100 * np.array(point.scores) for point in points])
    y = np.array([one.mean for one in found])
    front = pareto(x, y)
    beside = _side_by_side(x)
    order = [i for i in np.lexsort((y, x)) if front[i]]
    axes.step(x[order], y[order], where="post", color="#BBBBBB", linewidth=5, alpha=0.55, zorder=1)
    look = styles([point.name for point in points])
    few, rows = len(points) <= NAMED, any(point.models for point in points)
    for i, point in enumerate(points):
        color = look[point.name].color if few else ("#0072B2" if front[i] else "#8C8C8C")
        at, marker = (beside[i], y[i]), "D" if point.models > 1 else "o"
        axes.errorbar(*at, bars(found[i : i + 1]), fmt="none", ecolor=color, elinewidth=1.1, alpha=0.6, zorder=2)
        axes.plot(*at, marker, markersize=7, color=color, markeredgecolor="white", markeredgewidth=0.8, zorder=3)
    axes.margins(0.08)
    axes.set_xlim(0, axes.get_xlim()[1])
    axes.set_ylim(axes.get_ylim())
    named = [i for i in range(len(points)) if few or front[i]]
    colors = {points[i].name: look[points[i].name].color if few else "#0072B2" for i in named}
    _name_points(axes, {points[i].name: (beside[i], y[i]) for i in named}, colors)
    calm(axes)
    name_axes(
        axes,
        UNITS[unit],
        f"{measure} on the {images} images (%)",
        over_seeds(len(point.scores) for point in points) if rows else f"{len(points)} complete trials",
    )
    handles = [Line2D([], [], color="#BBBBBB", linewidth=5, alpha=0.55, label="Pareto front")]
    several = "two models" if max(point.models for point in points) == 2 else "two models or more"
    for marker, what, there in (
        ("o", "one model", any(point.models == 1 for point in points)),
        ("D", several, any(point.models > 1 for point in points)),
    ):
        if there:
            handles.append(Line2D([], [], marker=marker, linestyle="", color="#666666", label=what))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=SMALL)
    return figure


def _side_by_side(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Costs at which points are drawn: equal ones a little apart, or else their intervals would hide each other."""
    close = 0.018 * float(x.max())
    return np.array(spread_out(x.tolist(), close)) if len(x) <= NAMED else x


def _name_points(axes: Axes, points: Mapping[str, tuple[float, float]], colors: Mapping[str, str]) -> None:
    """Write the names beside the points, or, where there is no room to their right, in the margin."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    height = HEIGHT - 1.2
    margin = {name: at for name, at in points.items() if at[0] > left + 0.7 * (right - left)}
    name_ends(axes, margin, colors, height)
    inside = [name for name in sorted(points, key=lambda name: points[name][0]) if name not in margin]
    groups: list[list[str]] = []
    for name in inside:
        if groups and points[name][0] - points[groups[-1][-1]][0] < 0.15 * (right - left):
            groups[-1].append(name)
        else:
            groups.append([name])
    gap = (SMALL * 1.25 / 72) * (high - low) / height
    for group in groups:
        for name, y in zip(group, spread_out([points[name][1] for name in group], gap), strict=True):
            shift = (y - points[name][1]) / (high - low) * height * 72
            axes.annotate(
                name,
                points[name],
                (9, shift),
                textcoords="offset points",
                va="center",
                fontsize=SMALL,
                color=darker(colors[name]),
                zorder=4,
            )
