"""Score over the two searched exponents."""

from collections.abc import Mapping, Sequence
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
from dmt_ray.plan.words import counted
from dmt_ray.report.figures.kit import BLACK, GREY, SCORES, SMALL, TEXT, Look, legend_below, name_axes, new_axes

GAMMAS = ("weight.gamma1", "weight.gamma2")  # a sweep over these alone has a landscape
SURFACE_POINTS = 6  # fewest points with a score at the same rung between which a surface is drawn
RESOLUTION = 120  # points of the surface per axis
WITHOUT_SCORE: Look = {"marker": "o", "s": 12, "facecolor": "none", "edgecolor": GREY, "linewidth": 1.0}
SCORED: dict[str, Look] = {  # state of a trial -> its marker, filled with the colour of its score
    "complete": {"marker": "o", "s": 48, "edgecolor": "white", "linewidth": 0.8},
    "pruned": {"marker": "o", "s": 40, "edgecolor": BLACK, "linewidth": 1.0},
    "running": {"marker": "o", "s": 40, "edgecolor": BLACK, "linewidth": 1.0, "linestyle": ":"},
    "failed": {"marker": "X", "s": 52, "edgecolor": BLACK, "linewidth": 0.8},
}


class Point(NamedTuple):
    """A trial: gamma1, gamma2, its score in ``[0, 1]`` after each rung that it has come to, and its state."""

    gamma1: float
    gamma2: float
    scores: Mapping[int, float]
    state: str

    @property
    def last(self) -> int:
        """The rung that it has come to; -1 where it has no score."""
        return max(self.scores, default=-1)


def landscape_of(sweep: Sweep, trials: Sequence[Trial]) -> Figure:
    """The landscape of a sweep over `GAMMAS`; trials whose exponents are not known yet are left out."""
    one, two = GAMMAS
    begun = [trial for trial in trials if len(trial.params) == 2]
    points = [
        Point(float(t.params[one]), float(t.params[two]), _by_seeds(t) if t.seed_by_seed else t.scores, t.state)
        for t in begun
    ]
    own = sweep.config.weight.numbers()
    step = "number of seeds" if sweep.seed_by_seed else "rung"
    return landscape(points, (own["gamma1"], own["gamma2"]), sweep.score_name, step)


def _by_seeds(trial: Trial) -> dict[int, float]:
    """Number of seeds -> mean score of the first so many."""
    scores = [trial.scores[step] for step in sorted(trial.scores)]
    return {count: sum(scores[:count]) / count for count in range(1, len(scores) + 1)}


def landscape(
    points: Sequence[tuple[float, float, Mapping[int, float], str]],
    recipe: tuple[float, float] | None = None,
    measure: str = "mIoU",
    step: str = "rung",
) -> Figure:
    """Score over the two exponents: every trial, and a surface between those that were scored at the same rung.

    The surface is that of the latest rung at which at least six points were scored, whatever became of the trials
    later. A trial has the colour of its score at this rung, or else of its last one; beside a trial that was not
    completed stands the rung of its last score.

    Args:
        points: A trial each, as `Point`.
        recipe: The exponents of the recipe that was searched; for those of the papers, the paper's.
        measure: The name of the score.
        step: What the rungs are called.
    """
    figure, axes = new_axes(4.6)
    trials = [Point(*point) for point in points]
    rung = _common_rung(trials)
    scored = [trial for trial in trials if trial.scores]
    values = {id(t): 100 * t.scores.get(rung, t.scores[t.last]) for t in scored}
    handles = _draw_scored(figure, axes, scored, values, rung, (measure, step)) if scored else []
    waiting = [trial[:2] for trial in trials if not trial.scores]
    if waiting:
        label = f"without a score yet ({len(waiting):,})"
        handles.append(axes.scatter(*zip(*waiting, strict=True), zorder=4, label=label, **WITHOUT_SCORE))
    if recipe is not None:
        label = f"recipe: γ₁ = {recipe[0]:g}, γ₂ = {recipe[1]:g}"
        square: Look = {"marker": "s", "s": 150, "facecolor": "none", "edgecolor": BLACK, "linewidth": 1.6}
        handles.append(axes.scatter(*recipe, zorder=7, label=label, **square))
    _set_limits(axes, [trial[:2] for trial in trials] + ([recipe] if recipe else []))
    axes.tick_params(labelsize=SMALL)
    at = sum(rung in trial.scores for trial in trials)
    of = f"; surface: scores of {at:,} at {step} {rung}" if _can_be_surface(trials, rung) else ""
    gamma1, gamma2 = "γ₁, exponent where student and teacher agree", "γ₂, exponent where the teacher is more confident"
    name_axes(axes, gamma1, gamma2, f"{counted(len(points), 'trial')}{of}")
    legend_below(figure, handles)
    return figure


def _common_rung(trials: Sequence[Point]) -> int:
    """The latest rung with enough points for a surface, or the latest of all."""
    rungs = sorted({rung for trial in trials for rung in trial.scores}, reverse=True)
    return next((rung for rung in rungs if _can_be_surface(trials, rung)), rungs[0] if rungs else -1)


def _can_be_surface(trials: Sequence[Point], rung: int) -> bool:
    return _hull(np.unique(_scores_at(trials, rung)[:, :2], axis=0)) is not None


def _scores_at(trials: Sequence[Point], rung: int) -> NDArray[np.float64]:
    """gamma1, gamma2 and score in percent of the trials that were scored at a rung, ``[n, 3]``."""
    rows = [(trial.gamma1, trial.gamma2, 100 * trial.scores[rung]) for trial in trials if rung in trial.scores]
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


def _draw_scored(
    figure: Figure,
    axes: Axes,
    trials: Sequence[Point],
    values: Mapping[int, float],
    rung: int,
    names: tuple[str, str],
) -> list[Any]:
    """Points, surface and colour bar of the trials that have a score; returns handles for the legend."""
    (measure, step), scores = names, np.array(list(values.values()))
    # A collapsed trial must not wash out the differences between all others.
    low, high = float(np.quantile(scores, 0.1)) if len(scores) >= 10 else float(scores.min()), float(scores.max())
    norm = Normalize(low, high) if high > low else Normalize(low - 0.5, low + 0.5)
    surface = _surface(_scores_at(trials, rung))
    if surface is not None:
        x, y, z, corners = surface
        levels = np.linspace(norm.vmin or 0.0, norm.vmax or 1.0, 13)
        filled = axes.contourf(x, y, z, levels=levels, cmap=SCORES, norm=norm, alpha=0.75, extend="min")
        filled.set_clip_path(Polygon(corners, transform=axes.transData))
    handles: list[Any] = []
    for state, look in SCORED.items():
        own = [trial for trial in trials if trial.state == state]
        if own:
            at, colours = np.array([trial[:2] for trial in own]), [values[id(trial)] for trial in own]
            beside = "" if state == "complete" else f", its last {step} beside it"
            name = "finished" if state == "complete" else state
            axes.scatter(at[:, 0], at[:, 1], c=colours, cmap=SCORES, norm=norm, zorder=3, **look)
            marker: Look = {"marker": look["marker"], "markeredgecolor": look["edgecolor"], "color": GREY}
            handles.append(Line2D([], [], linestyle="", label=f"{name} trial ({len(own):,}){beside}", **marker))
            for trial in own if beside else ():
                where: Look = {"xytext": (4, 3), "textcoords": "offset points", "fontsize": SMALL}
                axes.annotate(str(trial.last), trial[:2], zorder=5, **where)
    complete = [trial for trial in trials if trial.state == "complete"]
    if complete:
        best = max(complete, key=lambda trial: trial.scores[trial.last])
        score = 100 * best.scores[best.last]
        label = f"best: γ₁ = {best.gamma1:.3g}, γ₂ = {best.gamma2:.3g}, {measure} {score:.2f} %"
        star: Look = {"marker": "*", "s": 220, "color": BLACK, "edgecolor": "white", "linewidth": 0.9, "zorder": 6}
        handles.insert(0, axes.scatter(best.gamma1, best.gamma2, label=label, **star))
    extend = "min" if low > scores.min() else "neither"
    bar = figure.colorbar(ScalarMappable(norm, SCORES), ax=axes, pad=0.02, extend=extend)
    bar.set_label(f"{measure} on the validation images (%)", fontsize=TEXT)
    bar.ax.tick_params(labelsize=SMALL)
    return handles


def _hull(places: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[Any]] | None:
    """Lower ends and spans of distinct places ``[n, 2]``, and which of them are corners of their hull.

    None where there are too few, or all lie on one line.
    """
    if len(places) < SURFACE_POINTS:
        return None
    low, span = places.min(axis=0), np.ptp(places, axis=0)
    if not span.all():
        return None
    try:
        return low, span, ConvexHull((places - low) / span).vertices
    except QhullError:  # all on one line
        return None


def _surface(done: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]] | None:
    """A surface over the box of points `_scores_at`, and the corners of their hull; None where there is no hull."""
    places, which = np.unique(done[:, :2], axis=0, return_inverse=True)
    hull = _hull(places)
    if hull is None:
        return None
    low, span, corners = hull
    which = which.reshape(-1)
    scores = np.bincount(which, done[:, 2]) / np.bincount(which)
    x, y = np.meshgrid(np.linspace(0, 1, RESOLUTION), np.linspace(0, 1, RESOLUTION))
    grid = np.stack([x.ravel(), y.ravel()], axis=1)
    # The linear kernel promises no heights where nobody measured; and as two runs of one point differ by some
    # tenths, the surface need not pass through every point.
    surface = RBFInterpolator((places - low) / span, scores, kernel="linear", smoothing=0.05)
    z = surface(grid).clip(scores.min(), scores.max()).reshape(x.shape)
    return low[0] + span[0] * x, low[1] + span[1] * y, z, places[corners]


def _set_limits(axes: Axes, places: Sequence[tuple[float, float]]) -> None:
    if places:
        low, high = np.min(places, axis=0), np.max(places, axis=0)
        margin = np.maximum(0.06 * (high - low), 0.1)
        axes.set_xlim(low[0] - margin[0], high[0] + margin[0])
        axes.set_ylim(low[1] - margin[1], high[1] + margin[1])
