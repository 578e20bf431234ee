"""The look that all figures share: sizes, colours, calm axes, names that do not lie over each other."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from dmt_ray.files import replacing
from dmt_ray.results.statistics import Interval, paired_interval

WIDTH = 5.2  # inches: a text column; type of 9 to 10 points then stands as small print beside the text
TITLE, TEXT, SMALL = 10, 9.5, 8.5  # points
INK = "#333333"
# Okabe and Ito's colours without their yellow, which is too pale for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"


class Style(NamedTuple):
    """How one row of an ablation is drawn in every figure."""

    color: str
    marker: str


# The rows of the papers look alike in all figures, whichever of them a figure shows.
KNOWN = {
    "Baseline": Style("#8C8C8C", "o"),
    "Online ST": Style("#E69F00", "X"),
    "Pseudo-Label": Style("#E69F00", "v"),
    "CBST": Style("#D55E00", "s"),
    "DST": Style("#009E73", "^"),
    "DST, twice the steps": Style("#56B4E9", "v"),
    "DMT-Naive": Style("#CC79A7", "D"),
    "DMT": Style("#0072B2", "o"),
    "DMT-Flip": Style("#8C564B", "P"),
    "before pseudo labels": Style("#8C8C8C", "s"),
    "Self-training": Style("#D55E00", "v"),
    "CL": Style("#D55E00", "^"),
    "Mean Teacher": Style("#999933", "X"),
    "FixMatch": Style("#44AA99", "s"),
    "CPS": Style("#332288", "D"),
    "Direct mutual learning": Style("#DDAA33", "v"),
    "IML": Style("#CC6677", "o"),
    "RML": Style("#882255", "P"),
    "RWMS": Style("#117733", "o"),
    "Oracle": Style("#000000", "D"),
}


def styles(names: Iterable[str]) -> dict[str, Style]:
    """A colour and a marker for each name: those of the papers' rows, else the next ones that are free."""
    wanted = list(names)
    taken = {KNOWN[name] for name in wanted if name in KNOWN}
    count = len(COLOURS)
    free = iter(
        style
        for i in range(count * len(MARKERS))
        if (style := Style(COLOURS[i % count], MARKERS[(i + i // count) % len(MARKERS)])) not in taken
    )
    return {name: KNOWN.get(name) or next(free) for name in wanted}


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure; sizes in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def calm(axes: Axes, *, grid: str = "both") -> None:
    """No frame, a pale grid along "x", "y" or "both" (or "none"), and type of one size."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#888888")
    if grid == "both" or grid == "x":
        axes.xaxis.grid(True, color="#E3E3E3", linewidth=0.7)
    if grid == "both" or grid == "y":
        axes.yaxis.grid(True, color="#E3E3E3", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=SMALL, color="#888888", labelcolor=INK)


def name_axes(axes: Axes, x: str = "", y: str = "", title: str = "") -> None:
    """Labels of the axes, and a title above the left end."""
    axes.set_xlabel(x, fontsize=TEXT, color=INK)
    axes.set_ylabel(y, fontsize=TEXT, color=INK)
    axes.set_title(title, fontsize=TITLE, loc="left", color=INK)


def intervals(values: Sequence[ArrayLike]) -> list[Interval]:
    """Mean and 95 % t interval of each group of values; those that are NaN are left out, and a group may be empty."""
    found = []
    for group in values:
        numbers = np.asarray(group, dtype=np.float64)
        numbers = numbers[np.isfinite(numbers)]
        found.append(paired_interval(numbers) if len(numbers) else Interval(*[float("nan")] * 3))
    return found


def bars(found: Sequence[Interval]) -> NDArray[np.float64]:
    """What `Axes.errorbar` takes for intervals, ``[2, n]``; NaN where there is none."""
    return np.array([[one.mean - one.low for one in found], [one.high - one.mean for one in found]])


def over_seeds(counts: Iterable[int]) -> str:
    """What means and bars are over, for a title, given the number of seeds of every row."""
    low, high = min(found := list(counts)), max(found)
    if high == 1:
        return "one seed"
    return f"mean of {high if low == high else f'{low} to {high}'} seeds, bars: 95 % t interval"


def spread_out(wanted: Sequence[float], gap: float) -> list[float]:
    """Positions at least `gap` apart, in the order of the wanted ones and together as near to them as can be."""
    order = np.argsort(wanted, kind="stable")
    groups: list[tuple[float, int]] = []  # sum of the wanted middle positions, number of members
    for place in order:
        groups.append((float(wanted[place]), 1))
        while len(groups) > 1:
            (low, below), (high, above) = groups[-2:]
            if high / above - low / below >= gap * (below + above) / 2:
                break
            groups[-2:] = [(low + high, below + above)]
    positions = [total / size + gap * (i - (size - 1) / 2) for total, size in groups for i in range(size)]
    found = [0.0] * len(wanted)
    for place, position in zip(order, positions, strict=True):
        found[place] = position
    return found


def name_ends(axes: Axes, ends: Mapping[str, tuple[float, float]], colors: Mapping[str, str], height: float) -> None:
    """Write the names of lines to the right of their last points, none over another.

    Args:
        axes: With their limits set.
        ends: Name -> x and y of its last point.
        colors: Name -> colour of its line.
        height: Height of the axes in inches, about.
    """
    low, high = axes.get_ylim()
    gap = (SMALL * 1.25 / 72) * (high - low) / height
    for (name, (x, y)), at in zip(ends.items(), spread_out([y for _, y in ends.values()], gap), strict=True):
        axes.annotate(
            name,
            (x, y),
            (1.03, at),
            textcoords=axes.get_yaxis_transform(),
            fontsize=SMALL,
            color=darker(colors[name]),
            va="center",
            arrowprops={
                "arrowstyle": "-",
                "color": colors[name],
                "linewidth": 0.6,
                "shrinkA": 1,
                "shrinkB": 4,
                "relpos": (0, 0.5),
            },
        )


def darker(color: str) -> tuple[float, float, float]:
    """A colour in which small type can be read on white."""
    red, green, blue = to_rgb(color)
    light = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    factor = min(1.0, 0.45 / light) if light else 1.0
    return red * factor, green * factor, blue * factor


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, PDF or SVG, by the ending of the path; a reader never sees half a file.

    The same figure gives the same bytes: no date is written.
    """
    ending = path.suffix.removeprefix(".")
    undated: dict[str, dict[str, str | None]] = {"png": {"Software": None}, "pdf": {"CreationDate": None}}
    metadata = undated.get(ending, {"Date": None})
    # In an SVG names are else drawn at random.
    with replacing(path) as draft, rc_context({"svg.hashsalt": path.stem}):
        figure.savefig(draft, format=ending, dpi=200, bbox_inches="tight", pad_inches=0.04, metadata=metadata)
    return path
