"""The figures: score over the searched exponents, scores and losses over time, and what the models saw and said.

Every function takes plain values and returns a new `Figure`; nothing here touches pyplot, so figures can be drawn on
any thread. Scores come in as fractions and are shown in percent.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Polygon
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator
from scipy.spatial import ConvexHull, QhullError

from dmt_ray import IGNORE
from dmt_ray.files import replacing

SURFACE_POINTS = 6  # fewest finished trials between which a surface is drawn
GRID = 120  # points of the surface per axis
GROUP_GAP = 0.18  # between two images of a panel, in widths of a picture

# Okabe and Ito's colours, which readers with any colour vision can tell apart.
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#8C8C8C"
MODEL_STYLES = {"A": (BLUE, "-"), "B": (ORANGE, (0, (4, 1.5)))}
# Cividis without its darkest end, so that black marks can be seen everywhere.
SCORES = LinearSegmentedColormap.from_list("scores", ["#35507F", "#7C7B78", "#BCAF6F", "#FEE838"])

CURVES = {  # column of a history -> title of its chart and label of its axis
    "loss": ("Loss", "weighted cross-entropy (nats)"),
    "agreement": ("Student and pseudo label agree", "share of pseudo-labelled pixels (%)"),
    "mean_weight": ("Mean weight of a pseudo label", "weight (0 to 1)"),
    "pseudo_accuracy": ("Accuracy of the pseudo labels", "share that is right (%)"),
    "total_variation": ("Total variation between the teachers", "distance (0 to 1)"),
}


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG; a reader never sees half a file. Returns the path."""
    with replacing(path) as draft:
        figure.savefig(draft, format="png", dpi=150, metadata={"Software": None})
    return path


def landscape(
    points: Sequence[tuple[float, float, float | None, str]],
    recipe: tuple[float, float] | None = None,
    measure: str = "mIoU",
) -> Figure:
    """Score over the two exponents: every trial, and a surface between the finished ones.

    Args:
        points: A trial each: gamma1, gamma2, its score in ``[0, 1]`` (None where it has none) and its state, one of
            "running", "complete", "pruned", "failed". The surface and the colours know the complete ones alone: a
            pruned trial's score is that of an earlier iteration.
        recipe: The exponents of the recipe that was searched; for those of the papers, the paper's.
        measure: What the score is.
    """
    figure = Figure(figsize=(6.6, 5.4), layout="constrained")
    axes = figure.add_subplot()
    done = np.array([(g1, g2, 100 * s) for g1, g2, s, state in points if state == "complete" and s is not None])
    handles: list[Any] = []
    if len(done):
        handles += _scored(figure, axes, done, measure)
    handles += _unscored(axes, points)
    if recipe is not None:
        handles.append(
            axes.scatter(
                *recipe,
                marker="s",
                s=190,
                facecolor="none",
                edgecolor="black",
                linewidth=1.6,
                zorder=7,
                label=f"recipe: γ₁ = {recipe[0]:g}, γ₂ = {recipe[1]:g}",
            )
        )
    _limits(axes, [(g1, g2) for g1, g2, _, _ in points] + ([recipe] if recipe else []))
    axes.set_xlabel("γ₁, exponent where student and teacher agree", fontsize=11)
    axes.set_ylabel("γ₂, exponent where the teacher is surer", fontsize=11)
    axes.set_title(f"{len(points)} trials", fontsize=11, loc="left")
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=9.5)
    return figure


def _scored(figure: Figure, axes: Axes, done: NDArray[np.float64], measure: str) -> list[Any]:
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
    axes.scatter(
        done[:, 0], done[:, 1], c=scores, cmap=SCORES, norm=norm, s=58, edgecolor="white", linewidth=1.0, zorder=3
    )
    best = done[int(scores.argmax())]
    star = axes.scatter(
        best[0],
        best[1],
        marker="*",
        s=270,
        color="black",
        edgecolor="white",
        linewidth=0.9,
        zorder=6,
        label=f"best: γ₁ = {best[0]:.3g}, γ₂ = {best[1]:.3g}, {measure} {best[2]:.2f} %",
    )
    collapsed = low > scores.min()
    bar = figure.colorbar(ScalarMappable(norm, SCORES), ax=axes, pad=0.02, extend="min" if collapsed else "neither")
    bar.set_label(f"{measure} on the validation images (%)", fontsize=11)
    finished = Line2D(
        [],
        [],
        marker="o",
        linestyle="",
        markersize=7.5,
        color=GREY,
        markeredgecolor="white",
        label=f"finished trial ({len(done)})",
    )
    return [star, finished]


def _unscored(axes: Axes, points: Sequence[tuple[float, float, float | None, str]]) -> list[Any]:
    handles: list[Any] = []
    styles: dict[str, dict[str, Any]] = {
        "pruned": {"marker": "o", "s": 46, "facecolor": "none", "edgecolor": "black", "linewidth": 1.0},
        "failed": {"marker": "x", "s": 40, "color": "black", "linewidth": 1.4},
        "running": {"marker": "o", "s": 12, "color": "black"},
    }
    for state, style in styles.items():
        places = np.array([(g1, g2) for g1, g2, _, found in points if found == state])
        if len(places):
            label = f"{state} trial ({len(places)})"
            handles.append(axes.scatter(places[:, 0], places[:, 1], zorder=4, label=label, **style))
    return handles


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
    x, y = np.meshgrid(np.linspace(0, 1, GRID), np.linspace(0, 1, GRID))
    grid = np.stack([x.ravel(), y.ravel()], axis=1)
    # The linear kernel promises no heights where nobody measured; and as two runs of one point differ by some
    # tenths, the surface need not pass through every point.
    surface = RBFInterpolator(unit, scores, kernel="linear", smoothing=0.05)
    z = surface(grid).clip(scores.min(), scores.max()).reshape(x.shape)
    return low[0] + span[0] * x, low[1] + span[1] * y, z, low + span * unit[hull.vertices]


def _limits(axes: Axes, places: Sequence[tuple[float, float]]) -> None:
    if places:
        low, high = np.min(places, axis=0), np.max(places, axis=0)
        margin = np.maximum(0.06 * (high - low), 0.1)
        axes.set_xlim(low[0] - margin[0], high[0] + margin[0])
        axes.set_ylim(low[1] - margin[1], high[1] + margin[1])


def curves(trials: Sequence[tuple[str, Mapping[int, float], str]], measure: str = "mIoU") -> Figure:
    """Score of every trial after each iteration, the best one marked.

    Args:
        trials: A trial each: its name, rung -> score in ``[0, 1]``, and its state as in `landscape`. The best is the
            complete one with the highest score on its last rung.
        measure: What the score is.
    """
    figure = Figure(figsize=(6.6, 4.4), layout="constrained")
    axes = figure.add_subplot()
    finished = [trial for trial in trials if trial[2] == "complete" and trial[1]]
    best = max(finished, key=lambda trial: trial[1][max(trial[1])], default=None)
    pruned = 0
    for trial in trials:
        name, scores, state = trial
        rungs = sorted(scores)
        values = [100 * scores[rung] for rung in rungs]
        if not rungs:
            continue
        if trial is best:
            axes.plot(
                rungs,
                values,
                color=BLUE,
                linewidth=2.4,
                marker="o",
                markersize=5,
                zorder=4,
                label=f"best: {name}, {measure} {values[-1]:.2f} %",
            )
        else:
            axes.plot(rungs, values, color=GREY, linewidth=1.0, alpha=0.65, zorder=2)
        if state == "pruned":
            pruned += 1
            axes.plot(
                rungs[-1],
                values[-1],
                marker="o",
                markersize=6,
                markerfacecolor="white",
                markeredgecolor="black",
                zorder=3,
            )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel("iteration (0: before any pseudo label)", fontsize=11)
    axes.set_ylabel(f"{measure} on the validation images (%)", fontsize=11)
    axes.set_title(f"{len(trials)} trials", fontsize=11, loc="left")
    _calm(axes)
    handles = [handle for handle in axes.lines if not str(handle.get_label()).startswith("_")]
    handles += [Line2D([], [], color=GREY, label="other trials")] if len(trials) > 1 else []
    if pruned:
        handles.append(
            Line2D(
                [],
                [],
                marker="o",
                linestyle="",
                markerfacecolor="white",
                markeredgecolor="black",
                label=f"pruned here ({pruned})",
            )
        )
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=9.5)
    return figure


def training_curves(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Loss, agreement, weight and pseudo-label accuracy of each model over all its optimizer steps.

    Args:
        histories: Model ("A", "B", or such a name with its seed) -> rows in the order of training with the columns
            ``step`` (counts on over the stages), ``rung``, ``loss`` and those of `CURVES` that the method has. A
            missing value is a gap.
    """
    columns = [c for c in CURVES if any(c in h and h[c].notna().any() for h in histories.values())]
    rows = max(1, (len(columns) + 1) // 2)
    figure = Figure(figsize=(10.0 if len(columns) > 1 else 6.6, 0.7 + 2.9 * rows), layout="constrained")
    for number, column in enumerate(columns):
        axes = figure.add_subplot(rows, 2 if len(columns) > 1 else 1, number + 1)
        title, unit = CURVES[column]
        for model, history in histories.items():
            if column in history:
                color, dashes = MODEL_STYLES.get(model[:1], (GREY, "-"))
                values = history[column] * (100 if "%" in unit else 1)
                axes.plot(history["step"], values, color=color, linestyle=dashes, linewidth=1.5, label=f"model {model}")
        for step, rung in _boundaries(histories):
            axes.axvline(step, color=GREY, linewidth=0.8, alpha=0.6, zorder=1)
            axes.annotate(
                str(rung),
                (step, 1),
                (3, -10),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                fontsize=8,
                color="#555555",
            )
        axes.set_title(title, fontsize=11, loc="left")
        axes.set_xlabel("optimizer steps (thin lines: iterations)", fontsize=10)
        axes.set_ylabel(unit, fontsize=10)
        axes.set_xlim(left=0)
        axes.margins(y=0.12)
        _calm(axes)
    if columns:
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9.5)
    return figure


def _boundaries(histories: Mapping[str, pd.DataFrame]) -> list[tuple[float, int]]:
    """Steps at which the iterations 1, 2, ... begin, of the model with the most of them."""
    found: list[tuple[float, int]] = []
    for history in histories.values():
        ends = history.groupby("rung")["step"].max()
        found = max(found, [(float(ends.iloc[i]), int(ends.index[i + 1])) for i in range(len(ends) - 1)], key=len)
    return found


def _calm(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#DDDDDD", linewidth=0.7)
    axes.set_axisbelow(True)


def panel(
    iterations: Sequence[Mapping[str, NDArray[Any]]], palette: NDArray[np.uint8], classes: Sequence[str]
) -> Figure:
    """What a model was taught and what it then said, iteration by iteration (as DMT, Fig. 7).

    Each image has three rows: the pseudo labels, their weights, and the student's prediction afterwards. Its first
    column shows the image and its true mask.

    Args:
        iterations: The content of ``examples.npz`` of each fine-tuning, iteration 1 first, all of the same images.
        palette: Colours of the classes, uint8 ``[K, 3]``.
        classes: Their K names.

    Raises:
        ValueError: If there is no iteration, or no image in it.
    """
    ids = [str(name) for name in iterations[0]["ids"]] if iterations else []
    if not ids:
        raise ValueError(f"a panel needs an iteration with at least one image, but got {len(iterations)} iterations")
    columns = len(iterations) + 1
    aspect = max(iterations[0][f"truth_{e}"].shape[0] / iterations[0][f"truth_{e}"].shape[1] for e in range(len(ids)))
    height = len(ids) * (3 * aspect + GROUP_GAP) + 0.25
    cell = max(1.35, 6.0 / columns)  # inches of a picture's width
    figure = Figure(figsize=(cell * (columns + 0.44) + 1.2, cell * height + 0.6), layout="constrained")
    axes = figure.add_subplot()
    seen: set[int] = set()

    def show(picture: NDArray[Any], column: int, row: float) -> AxesImage:
        extent = (column + 0.02, column + 0.98, row + 0.98 * aspect, row + 0.02 * aspect)
        return axes.imshow(picture, extent=extent, interpolation="nearest", cmap="cividis", vmin=0, vmax=1)

    for e, name in enumerate(ids):
        top = e * (3 * aspect + GROUP_GAP)
        truth = iterations[0][f"truth_{e}"]
        show(iterations[0][f"image_{e}"], 0, top)
        show(_paint(truth, palette), 0, top + aspect)
        seen.update(np.unique(truth).tolist())
        for row, text in ((0.5, "image"), (1.5, "truth")):
            axes.text(-0.04, top + row * aspect, text, rotation=90, ha="right", va="center", fontsize=9)
        axes.text(0.5, top + 2.5 * aspect, name, fontsize=9, ha="center", va="center")
        for column, examples in enumerate(iterations, start=1):
            label, prediction = examples[f"label_{e}"], examples[f"prediction_{e}"]
            seen.update(np.unique(label).tolist(), np.unique(prediction).tolist())
            show(_paint(label, palette), column, top)
            show(np.ma.masked_where(label == IGNORE, examples[f"weight_{e}"] / 255), column, top + aspect)
            show(_paint(prediction, palette), column, top + 2 * aspect)
        for row, text in ((0.5, "label"), (1.5, "weight"), (2.5, "prediction")):
            axes.text(columns + 0.04, top + row * aspect, text, rotation=90, ha="left", va="center", fontsize=9)
    for column in range(1, columns):
        axes.text(column + 0.5, -0.06, f"iteration {column}", ha="center", va="bottom", fontsize=10)
    # Room for the texts inside the axes: the layout would cut what stands beside pictures of a fixed aspect.
    bottom = len(ids) * (3 * aspect + GROUP_GAP) - GROUP_GAP
    axes.set(xlim=(-0.22, columns + 0.22), ylim=(bottom, -0.22), aspect="equal")
    axes.axis("off")
    named = [(palette[k] / 255, classes[k]) for k in sorted(seen - {IGNORE})]
    named += [("white", "no label")] if IGNORE in seen else []
    handles = [Patch(facecolor=colour, edgecolor="#666666", label=name) for colour, name in named]
    fitting = max(1, int((cell * columns + 1.9) / 1.35))
    figure.legend(handles=handles, loc="outside lower center", ncols=fitting, frameon=False, fontsize=9)
    bar = figure.colorbar(ScalarMappable(Normalize(0, 1), "cividis"), ax=axes, fraction=0.04, pad=0.05, shrink=0.5)
    bar.set_label("weight of a pseudo label", fontsize=10)
    return figure


def _paint(mask: NDArray[np.uint8], palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A mask in its classes' colours, uint8 ``[H, W, 3]``; what has no class is white."""
    colours = np.full((256, 3), 255, np.uint8)
    colours[: len(palette)] = palette
    return colours[mask]
