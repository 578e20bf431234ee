"""Score against compute: what each row's score costs, and which rows are on the Pareto front."""

from collections.abc import Mapping, Sequence
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
from dmt_ray.experiments.trials import complete
from dmt_ray.plan.words import counted
from dmt_ray.report.figures import kit
from dmt_ray.report.titles import IMAGES
from dmt_ray.results.tidy import scored

HEIGHT = 4.0
UNITS = {"steps": "optimizer steps, of all its models (thousands)", "hours": "device-hours"}
NAMED = 12  # most points that all get their names; of more, those on the front do


@dataclass(frozen=True)
class Costly:
    """The cost and score of a row, or of a trial."""

    name: str  # its name
    cost: float  # optimizer steps summed over its models, or device-hours; mean over seeds
    scores: tuple[float, ...]  # fractions, one a seed
    models: int = 0  # how many models it trains; 0: unknown


def costs(
    frame: pd.DataFrame,
    column: str,
    *,
    unit: Literal["steps", "hours"] = "steps",
    rule: str = "last",
    leave_out: Sequence[str] = ("oracle",),
) -> list[Costly]:
    """Cost of every complete row when computed on its own, without sharing, and its test score.

    Args:
        unit: Of the cost. Device-hours are those of the machines that computed it.
        leave_out: Methods that no other row competes with: the oracle is given more labels.

    Raises:
        MissingStages: If no row is complete.
    """
    lines = scored(frame, column=column, rule=rule)
    rows = []
    for row, runs in lines[~lines["method"].isin(leave_out)].groupby("row", sort=False):
        cost = runs["steps"].mean() if unit == "steps" else runs["device_seconds"].mean() / 3600
        rows.append(Costly(str(row), float(cost), tuple(map(float, runs["value"])), int(runs["models"].iloc[0])))
    if not rows:
        raise MissingStages("no row is complete yet")
    return rows


def trial_costs(trials: Sequence[Trial]) -> list[Costly]:
    """Cost of the complete trials of a two-objective search, and their scores on the validation images.

    Raises:
        MissingStages: If no trial is complete, or the search minimises no compute.
    """
    known = [(trial, trial.compute) for trial in complete(trials) if trial.compute is not None]
    points = [Costly(f"trial {trial.number}", compute, (trial.score or 0.0,)) for trial, compute in known]
    if not points:
        raise MissingStages("no trial is complete whose compute is minimised beside the score")
    return points


def pareto(costs: ArrayLike, scores: ArrayLike) -> NDArray[np.bool_]:
    """Which points are on the Pareto front: none has as good a score at lower cost, or a better one at no higher cost.

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
    """
    figure, axes = kit.new_axes(HEIGHT)
    x = np.array([point.cost for point in points]) / (1000 if unit == "steps" else 1)
    means = kit.intervals([100 * np.array(point.scores) for point in points])
    y = np.array([one.mean for one in means])
    front, few = pareto(x, y), len(points) <= NAMED
    # Equal costs are drawn a little apart, or else their intervals would hide each other.
    beside = kit.spread_out(x.tolist(), 0.018 * float(x.max())) if few else x.tolist()
    order = [i for i in np.lexsort((y, x)) if front[i]]
    pale: kit.Look = {"color": kit.PALE, "linewidth": 5, "alpha": 0.55}
    axes.step(x[order], y[order], where="post", zorder=1, **pale)
    look = kit.styles([point.name for point in points])
    if not few:
        look = {point.name: kit.Style(kit.BLUE if front[i] else kit.GREY, "") for i, point in enumerate(points)}
    for i, point in enumerate(points):
        color, marker = look[point.name].color, "D" if point.models > 1 else "o"
        kit.draw_bars(axes, [beside[i]], means[i : i + 1], color)
        axes.plot(beside[i], y[i], marker, markersize=7, color=color, markeredgecolor="white", zorder=3)
    axes.margins(0.08)
    axes.set_xlim(0, axes.get_xlim()[1])
    _name_points(axes, {p.name: (beside[i], y[i]) for i, p in enumerate(points) if few or front[i]}, look)
    kit.calm(axes)
    rows = any(point.models for point in points)
    title = kit.over_seeds(len(point.scores) for point in points) if rows else counted(len(points), "complete trial")
    kit.name_axes(axes, UNITS[unit], f"{measure} on the {IMAGES[images]} images (%)", title)
    models = {point.models for point in points}
    several = "two models" if max(models) == 2 else "two models or more"
    shown = [("o", "one model")] * (1 in models) + [("D", several)] * (max(models) > 1)
    handles = [Line2D([], [], label="Pareto front", **pale)]
    handles += [Line2D([], [], marker=marker, linestyle="", color=kit.INK, label=label) for marker, label in shown]
    kit.legend_below(figure, handles, 3)
    return figure


def _name_points(axes: Axes, points: Mapping[str, tuple[float, float]], look: Mapping[str, kit.Style]) -> None:
    """Write the names beside the points, or, where there is no room to their right, in the margin."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    height = HEIGHT - 1.2
    margin = {name: at for name, at in points.items() if at[0] > left + 0.7 * (right - left)}
    kit.name_ends(axes, margin, look, height)
    inside = sorted(points.keys() - margin.keys(), key=lambda name: points[name][0])
    gaps = np.diff([points[name][0] for name in inside])
    for group in np.split(np.array(inside), np.flatnonzero(gaps >= 0.15 * (right - left)) + 1):
        heights = kit.spread_out([points[name][1] for name in group], kit.line_gap(axes, height))
        for name, y in zip(group, heights, strict=True):
            shift = (y - points[name][1]) / (high - low) * height * 72
            text: kit.Look = {"va": "center", "fontsize": kit.SMALL, "color": kit.darker(look[name].color), "zorder": 4}
            axes.annotate(name, points[name], (9, shift), textcoords="offset points", **text)
