"""Score over the two searched exponents."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator
from scipy.spatial import ConvexHull, QhullError

from dmt_ray.experiments.sweep import Sweep, Trial
from dmt_ray.report.figures.kit import BLACK, GREY, SCORES, SMALL, TEXT, Look, legend_below, name_axes, new_axes

GAMMAS = ("weight.gamma1", "weight.gamma2")  # a sweep over these alone has a landscape
SURFACE_POINTS = 6  # fewest finished trials between which a surface is drawn
RESOLUTION = 120  # points of the surface per axis
UNSCORED: dict[str, Look] = {  # state of a trial -> its marker
    "pruned": {"marker": "o", "s": 40, "facecolor": "none", "edgecolor": BLACK, "linewidth": 1.0},
    "failed": {"marker": "x", "s": 34, "color": BLACK, "linewidth": 1.4},
    "running": {"marker": "o", "s": 10, "color": BLACK},
}


class Point(NamedTuple):
    """A trial: gamma1, gamma2, its score in ``[0, 1]``, None where it has none, and its state."""

    gamma1: float
    gamma2: float
    score: float | None
    state: str


def landscape_of(sweep: Sweep, trials: Sequence[Trial]) -> Figure:
    """The landscape of a sweep over `GAMMAS`; trials whose exponents are not known yet are left out."""
    one, two = GAMMAS
    points = [Point(float(t.params[one]), float(t.params[two]), t.score, t.state) for t in trials if len(t.params) == 2]
    own = sweep.config.weight.numbers()
    return landscape(points, (own["gamma1"], own["gamma2"]), sweep.score_name)


def landscape(
    points: Sequence[tuple[float, float, float | None, str]],
    recipe: tuple[float, float] | None = None,
    measure: str = "mIoU",
) -> Figure:
    """Score over the two exponents: every trial, and a surface between the finished ones.

    Args:
        points: A trial each, as `Point`. The surface and the colours know the complete ones alone: a pruned trial's
            score is that of an earlier iteration.
        recipe: The exponents of the recipe that was searched; for those of the papers, the paper's.
    """
    figure, axes = new_axes(4.6)
    done = np.array([(g1, g2, 100 * s) for g1, g2, s, state in points if state == "complete" and s is not None])
    handles = _draw_complete(figure, axes, done, measure) if len(done) else []
    for state, style in UNSCORED.items():
        places = np.array([point[:2] for point in points if point[3] == state])
        if len(places):
            label = f"{state} trial ({len(places)})"
            handles.append(axes.scatter(places[:, 0], places[:, 1], zorder=4, label=label, **style))
    if recipe is not None:
        label = f"recipe: γ₁ = {recipe[0]:g}, γ₂ = {recipe[1]:g}"
        square: Look = {"marker": "s", "s": 150, "facecolor": "none", "edgecolor": BLACK, "linewidth": 1.6}
        handles.append(axes.scatter(*recipe, zorder=7, label=label, **square))
    _set_limits(axes, [point[:2] for point in points] + ([recipe] if recipe else []))
    axes.tick_params(labelsize=SMALL)
    gamma1, gamma2 = "γ₁, exponent where student and teacher agree", "γ₂, exponent where the teacher is more confident"
    name_axes(axes, gamma1, gamma2, f"{len(points)} trials")
    legend_below(figure, handles)
    return figure


def _draw_complete(figure: Figure, axes: Axes, done: NDArray[np.float64], measure: str) -> list[Any]:
    """Points, surface and colour bar of the complete trials; returns handles for the legend."""
    scores = done[:, 2]
    # A collapsed trial must not wash out the differences between all others.
    low, high = float(np.quantile(scores, 0.1)) if len(scores) >= 10 else float(scores.min()), float(scores.max())
    norm = Normalize(low, high) if high > low else Normalize(low - 0.5, low + 0.5)
    surface = _surface(done)
    if surface is not None:
        x, y, z, corners = surface
        levels = np.linspace(norm.vmin or 0.0, norm.vmax or 1.0, 13)
        filled = axes.contourf(x, y, z, levels=levels, cmap=SCORES, norm=norm, alpha=0.75, extend="min")
        filled.set_clip_path(Polygon(corners, transform=axes.transData))
    axes.scatter(done[:, 0], done[:, 1], c=scores, cmap=SCORES, norm=norm, s=48, edgecolor="white", zorder=3)
    best = done[int(scores.argmax())]
    label = f"best: γ₁ = {best[0]:.3g}, γ₂ = {best[1]:.3g}, {measure} {best[2]:.2f} %"
    look: Look = {"marker": "*", "s": 220, "color": BLACK, "edgecolor": "white", "linewidth": 0.9, "zorder": 6}
    star = axes.scatter(best[0], best[1], label=label, **look)
    extend = "min" if low > scores.min() else "neither"
    bar = figure.colorbar(ScalarMappable(norm, SCORES), ax=axes, pad=0.02, extend=extend)
    bar.set_label(f"{measure} on the validation images (%)", fontsize=TEXT)
    bar.ax.tick_params(labelsize=SMALL)
    label = f"finished trial ({len(done)})"
    return [star, Line2D([], [], marker="o", linestyle="", color=GREY, markeredgecolor="white", label=label)]


def _surface(done: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]] | None:
    """A surface over the points' box and the corners of their hull; None where there is no hull."""
    places, which = np.unique(done[:, :2], axis=0, return_inverse=True)
    low, span = places.min(axis=0), np.ptp(places, axis=0)
    if len(places) < SURFACE_POINTS or not span.all():
        return None
    which = which.reshape(-1)
    scores = np.bincount(which, done[:, 2]) / np.bincount(which)
    unit = (places - low) / span
    try:
        hull = ConvexHull(unit)
    except QhullError:  # all on one line
        return None
    x, y = np.meshgrid(np.linspace(0, 1, RESOLUTION), np.linspace(0, 1, RESOLUTION))
    grid = np.stack([x.ravel(), y.ravel()], axis=1)
    # The linear kernel promises no heights where nobody measured; and as two runs of one point differ by some
    # tenths, the surface need not pass through every point.
    surface = RBFInterpolator(unit, scores, kernel="linear", smoothing=0.05)
    z = surface(grid).clip(scores.min(), scores.max()).reshape(x.shape)
    return low[0] + span[0] * x, low[1] + span[1] * y, z, low + span * unit[hull.vertices]


def _set_limits(axes: Axes, places: Sequence[tuple[float, float]]) -> None:
    if places:
        low, high = np.min(places, axis=0), np.max(places, axis=0)
        margin = np.maximum(0.06 * (high - low), 0.1)
        axes.set_xlim(low[0] - margin[0], high[0] + margin[0])
        axes.set_ylim(low[1] - margin[1], high[1] + margin[1])
