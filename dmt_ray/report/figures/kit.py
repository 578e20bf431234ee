"""The look that all figures share: palette, sizes, axes, legends, names that do not overlap, and how they are saved.

Every figure is a function of plain values that returns a new `Figure`. None of them touches pyplot, so that figures can
be drawn on any thread. Scores come in as fractions and are shown in percent.

In all of them `frame` is a tidy table (`results.tidy`), `column` one of its columns, `rule` a selection rule ("last",
"val" or "paper"), `images` are "reported" (the test images) or "selection" (the validation images), `measure` is the
name of the score, and `runs` are the cells and seeds of one column, whose stages lie in `store`.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from dmt_ray.files import replacing
from dmt_ray.results.statistics import Interval, paired_interval

WIDTH = 5.2  # inches: a text column; type of 9 to 10 points then stands as small print beside the text
HEIGHT = 3.6
TITLE, TEXT, SMALL = 10, 9.5, 8.5  # points

# Okabe and Ito's colours, which readers with any colour vision can tell apart, without their yellow, which is too pale
# for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
BLUE, ORANGE, GREEN, PINK, AMBER, SKY, BLACK = COLOURS
INK, GREY, FRAME, PALE, GRID = "#333333", "#8C8C8C", "#888888", "#BBBBBB", "#E3E3E3"
# Cividis without its darkest end, so that black marks can be seen everywhere.
SCORES = LinearSegmentedColormap.from_list("scores", ["#35507F", "#7C7B78", "#BCAF6F", "#FEE838"])
DASHED = (0, (4, 1.5))
MODELS = {"A": (BLUE, "-"), "B": (ORANGE, DASHED)}
MARKERS = "osD^vPX"

Look = dict[str, Any]  # keyword arguments of matplotlib


class Style(NamedTuple):
    """How one row of an ablation is drawn in every figure."""

    color: str
    marker: str


# The rows of the papers look alike in all figures, whichever of them a figure shows.
KNOWN = {
    "Baseline": Style(GREY, "o"),
    "Online ST": Style(AMBER, "X"),
    "Pseudo-Label": Style(AMBER, "v"),
    "CBST": Style(ORANGE, "s"),
    "DST": Style(GREEN, "^"),
    "DST, twice the steps": Style(SKY, "v"),
    "DMT-Naive": Style(PINK, "D"),
    "DMT": Style(BLUE, "o"),
    "DMT-Flip": Style("#8C564B", "P"),
    "before pseudo labels": Style(GREY, "s"),
    "Self-training": Style(ORANGE, "v"),
    "CL": Style(ORANGE, "^"),
    "Mean Teacher": Style("#999933", "X"),
    "FixMatch": Style("#44AA99", "s"),
    "CPS": Style("#332288", "D"),
    "Direct mutual learning": Style("#DDAA33", "v"),
    "IML": Style("#CC6677", "o"),
    "RML": Style("#882255", "P"),
    "RWMS": Style("#117733", "o"),
    "Oracle": Style(BLACK, "D"),
}


def styles(names: Iterable[str]) -> dict[str, Style]:
    """A colour and a marker for each name: the fixed ones of the papers' rows, or else the next free ones."""
    rows = list(names)
    taken = {KNOWN[name] for name in rows if name in KNOWN}
    count = len(COLOURS)
    free = iter(
        style
        for i in range(count * len(MARKERS))
        if (style := Style(COLOURS[i % count], MARKERS[(i + i // count) % len(MARKERS)])) not in taken
    )
    return {name: KNOWN.get(name) or next(free) for name in rows}


def darker(color: str) -> tuple[float, float, float]:
    """A colour in which small type can be read on white."""
    red, green, blue = to_rgb(color)
    light = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    factor = min(1.0, 0.45 / light) if light else 1.0
    return red * factor, green * factor, blue * factor


# ---- figures and axes ------------------------------------------------------------------------------------------


class Picture(Figure):
    """A figure that notebooks display, which they otherwise do only if pyplot is in use."""

    def _repr_png_(self) -> bytes:
        return render(self, dpi=110)


def new_figure(height: float = HEIGHT, width: float = WIDTH) -> Figure:
    """An empty figure; sizes in inches."""
    return Picture(figsize=(width, height), layout="constrained")


def new_axes(height: float = HEIGHT, width: float = WIDTH) -> tuple[Figure, Axes]:
    """An empty figure with one pair of axes; sizes in inches."""
    figure = new_figure(height, width)
    return figure, figure.add_subplot()


def calm(axes: Axes, *, grid: str = "both") -> None:
    """No frame, a pale grid along "x", "y" or "both", and type of one size."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FRAME)
    axes.grid(True, axis=grid, color=GRID, linewidth=0.7)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=SMALL, color=FRAME, labelcolor=INK)


def name_axes(axes: Axes, x: str = "", y: str = "", title: str = "") -> None:
    """Labels of the axes, and a title above the left end."""
    axes.set_xlabel(x, fontsize=TEXT, color=INK)
    axes.set_ylabel(y, fontsize=TEXT, color=INK)
    axes.set_title(title, fontsize=TITLE, loc="left", color=INK)


def legend_below(figure: Figure, handles: Sequence[Any] | None = None, columns: int = 2, title: str = "") -> None:
    """A legend below all axes; without handles that of the lines that have a label in the last axes."""
    if handles is None:
        handles = figure.axes[-1].get_legend_handles_labels()[0]
    if handles:
        look: Look = {"frameon": False, "fontsize": SMALL, "title_fontsize": SMALL, "title": title or None}
        figure.legend(handles=handles, loc="outside lower center", ncols=min(columns, len(handles)), **look)


# ---- means and intervals ---------------------------------------------------------------------------------------


def seeds_by(lines: pd.DataFrame, column: str, value: str) -> dict[str, pd.DataFrame]:
    """Row -> mean values, one line per seed, in ascending order of a column."""
    pivot: Look = {"index": "seed", "columns": column, "values": value, "aggfunc": "mean", "sort": False}
    rows = lines.groupby("row", sort=False)
    return {str(row): own.pivot_table(**pivot).sort_index(axis=1) for row, own in rows}


def intervals(values: Iterable[ArrayLike]) -> list[Interval]:
    """Mean and 95 % t interval of each group of values; those that are NaN are left out, and a group may be empty."""
    groups = [np.asarray(group, dtype=np.float64) for group in values]
    finite = [group[np.isfinite(group)] for group in groups]
    return [paired_interval(group) if len(group) else Interval(*[float("nan")] * 3) for group in finite]


def draw_bars(axes: Axes, x: Sequence[float], means: Sequence[Interval], color: str, alpha: float = 0.55) -> None:
    """Intervals as vertical bars, where there are any."""
    ends = [[one.mean - one.low for one in means], [one.high - one.mean for one in means]]
    y = [one.mean for one in means]
    axes.errorbar(x, y, ends, fmt="none", ecolor=color, elinewidth=1.0, alpha=alpha, zorder=2)


def draw_means(
    axes: Axes, x: Sequence[float], values: Iterable[ArrayLike], style: Style, alpha: float = 0.55
) -> tuple[float, float]:
    """Draw a line of means with 95 % t intervals at x, of groups of values as `intervals` takes them.

    Returns:
        The last point, as `name_ends` takes it.
    """
    means = intervals(values)
    y = [one.mean for one in means]
    axes.plot(x, y, color=style.color, marker=style.marker, markersize=5, linewidth=1.7, zorder=3)
    draw_bars(axes, x, means, style.color, alpha)
    return x[-1], y[-1]


def over_seeds(counts: Iterable[int]) -> str:
    """What means and bars are taken over, for a title, given the number of seeds of every row."""
    low, high = min(seeds := list(counts)), max(seeds)
    if high == 1:
        return "one seed"
    return f"mean of {high if low == high else f'{low} to {high}'} seeds, bars: 95 % t interval"


# ---- names beside lines ----------------------------------------------------------------------------------------


def spread_out(positions: Sequence[float], gap: float) -> list[float]:
    """Positions at least `gap` apart, in the same order, and overall as close to the given ones as possible."""
    order = np.argsort(positions, kind="stable")
    groups: list[tuple[float, int]] = []  # sum of the given positions less their offsets, number of members
    for place in order:
        groups.append((float(positions[place]), 1))
        while len(groups) > 1:
            (low, below), (high, above) = groups[-2:]
            if high / above - low / below >= gap * (below + above) / 2:
                break
            groups[-2:] = [(low + high, below + above)]
    apart = [total / size + gap * (i - (size - 1) / 2) for total, size in groups for i in range(size)]
    spread = [0.0] * len(positions)
    for place, position in zip(order, apart, strict=True):
        spread[place] = position
    return spread


def line_gap(axes: Axes, height: float) -> float:
    """Height of a line of small type in the axes' units; `height` is the approximate height of the axes in inches."""
    low, high = axes.get_ylim()
    return (SMALL * 1.25 / 72) * (high - low) / height


def name_ends(axes: Axes, ends: Mapping[str, tuple[float, float]], look: Mapping[str, Style], height: float) -> None:
    """Write the names of lines to the right of their last points (x, y), without overlaps; fixes the y limits.

    Args:
        height: Height of the axes in inches, about.
    """
    axes.set_ylim(axes.get_ylim())
    arrow: Look = {"arrowstyle": "-", "linewidth": 0.6, "shrinkA": 1, "shrinkB": 4, "relpos": (0, 0.5)}
    apart = spread_out([y for _, y in ends.values()], line_gap(axes, height))
    for (name, (x, y)), at in zip(ends.items(), apart, strict=True):
        axes.annotate(
            name,
            (x, y),
            (1.03, at),
            textcoords=axes.get_yaxis_transform(),
            fontsize=SMALL,
            color=darker(look[name].color),
            va="center",
            arrowprops={**arrow, "color": look[name].color},
        )


# ---- files -----------------------------------------------------------------------------------------------------


def render(figure: Figure, kind: str = "png", dpi: int = 200) -> bytes:
    """A figure as the bytes of a "png" (at a resolution in dots per inch), "pdf" or "svg" file, without a date."""
    undated: dict[str, dict[str, str | None]] = {"png": {"Software": None}, "pdf": {"CreationDate": None}}
    content = io.BytesIO()
    how: Look = {"bbox_inches": "tight", "pad_inches": 0.04, "metadata": undated.get(kind, {"Date": None})}
    with rc_context({"svg.hashsalt": "dmt_ray"}):  # else an SVG has random names in it
        figure.savefig(content, format=kind, dpi=dpi, **how)
    return content.getvalue()


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, PDF or SVG, by the extension of the path, atomically."""
    with replacing(path) as draft:
        draft.write_bytes(render(figure, path.suffix.removeprefix(".")))
    return path
