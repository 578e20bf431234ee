"""How wrong pseudo labels are: among the surest 20 to 100 % (DMT, Fig. 1), and class by class."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator

from dmt_ray.errors import MissingStages
from dmt_ray.experiments.ablation import Wanted
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.plan import Plan
from dmt_ray.plan.files import CONFIDENCE
from dmt_ray.report.figures.look import (
    INK,
    SMALL,
    TEXT,
    bars,
    calm,
    darker,
    intervals,
    name_axes,
    name_ends,
    new_figure,
    over_seeds,
    styles,
)
from dmt_ray.results.scores import summary
from dmt_ray.store import Store

HEIGHT = 3.6
FIRST = "before pseudo labels"
ALL = ""  # in the column `class`: of all classes together
COLUMNS = ("row", "seed", "iteration", "teacher", "share", "class", "kept", "error")


def label_errors(store: Store, wanted: Iterable[Wanted], dataset_info: DatasetInfo) -> pd.DataFrame:
    """What the labellings of an ablation say of their labels, where they are stored.

    Args:
        store: Where the stages are.
        wanted: Cells and seeds of one column.
        about: Names of the classes.

    Returns:
        One line for a labelling and class, and one (class "") for all classes: row, seed, iteration, teacher ("A" or
        "B"), share (the surest share of the pixels that was asked for), kept (the share of the predicted pixels that
        got a label, of class "": of all pixels) and error (the share of labels that are wrong, NaN where none is
        judged); fractions.

    Raises:
        MissingStages: If no labelling is stored, or none could be compared with the truth.
    """
    lines = [line for one in wanted for line in _of_plan(store, one.cell.row, one.seed, one.plan, dataset_info)]
    frame = pd.DataFrame(lines, columns=list(COLUMNS))
    if not frame["error"].notna().any():
        raise MissingStages(
            "no pseudo labels whose truth is known are stored"
            if len(frame)
            else "no pseudo labels are stored: no row that makes them, such as DST or DMT, has come so far"
        )
    return frame


def _of_plan(store: Store, row: str, seed: int, plan: Plan, dataset_info: DatasetInfo) -> Iterable[dict[str, Any]]:
    labellings = [stage for stage in plan.stages() if CONFIDENCE in stage.config.writes and store.has(stage)]
    counts = dict.fromkeys("AB", 0)
    for stage in labellings:
        teacher = stage.side
        counts[teacher] += 1
        said = summary(store, stage)
        line = {
            "row": row,
            "seed": seed,
            "iteration": counts[teacher],
            "teacher": teacher,
            "share": float(stage.config.share),  # type: ignore[attr-defined]
        }
        yield line | {"class": ALL, "kept": said["kept"], "error": _error(said["accuracy"])}
        for number, accuracy in enumerate(said["class_accuracy"] or []):
            kept = said["coverage"][number]
            yield line | {"class": dataset_info.class_name(number), "kept": _number(kept), "error": _error(accuracy)}


def teacher_errors(store: Store, wanted: Iterable[Wanted]) -> pd.DataFrame:
    """How wrong the labels of single teachers are among their surest 20 to 100 % (DMT, Fig. 1).

    Of every row the teachers of its last labels; and in a row `FIRST` those of the first labels, which are the models
    before any pseudo label.

    Args:
        store: Where the labellings are, which know it of themselves.
        wanted: Cells and seeds of one column.

    Returns:
        As `label_errors`, lines for all classes together; kept is unknown.

    Raises:
        MissingStages: If no labelling is stored that was compared with the truth.
    """
    first, last = [], []
    for one in wanted:
        found = list(_of_teachers(store, one.cell.row, one.seed, one.plan))
        count = max((line["iteration"] for line in found), default=0)
        first += [line | {"row": FIRST} for line in found if line["iteration"] == 1]
        last += [line for line in found if line["iteration"] == count > 1]
    frame = pd.DataFrame([*first, *last], columns=list(COLUMNS)).drop_duplicates(ignore_index=True)
    if not frame["error"].notna().any():
        raise MissingStages("no labelling whose truth is known is stored, or one of an earlier version")
    return frame


def _of_teachers(store: Store, row: str, seed: int, plan: Plan) -> Iterable[dict[str, Any]]:
    counts = dict.fromkeys("AB", 0)
    for stage in plan.stages():
        if CONFIDENCE in stage.config.writes and store.has(stage):
            teacher = stage.side
            counts[teacher] += 1
            line = {"row": row, "seed": seed, "iteration": counts[teacher], "teacher": teacher, "class": ALL}
            for share, error in summary(store, stage).get("error_by_share", {}).items():
                yield line | {"share": float(share), "kept": math.nan, "error": _number(error)}


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _error(accuracy: float | None) -> float:
    return 1 - _number(accuracy)


def errors_by_share(errors: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Row -> error of all classes together, one line a seed, one column a share; the mean over teachers.

    Args:
        errors: As `label_errors` or `surest.surest_errors` give them.
    """
    found = {}
    for row, lines in errors[errors["class"] == ALL].groupby("row", sort=False):
        table = lines.pivot_table(index="seed", columns="share", values="error", aggfunc="mean", sort=False)
        found[str(row)] = table.sort_index(axis=1)
    return found


def error_among_surest(errors: Mapping[str, pd.DataFrame], *, one_teacher: bool = False, of: str = "pixels") -> Figure:
    """Share of wrong pseudo labels against the share of the surest pixels, or images, that they are given to.

    Args:
        errors: Row -> fractions, one line a seed, one column a share, as `errors_by_share` gives them.
        one_teacher: Whether a line is about one trained model, as in DMT, Fig. 1. Else every share is that of another
            iteration with its own teacher, as the labellings of a run are stored.
        of: What is labelled: "pixels" or "images".
    """
    figure = new_figure(HEIGHT)
    axes = figure.add_subplot()
    look, ends = styles(errors), {}
    for place, (row, table) in enumerate(errors.items()):
        shift = 0.8 * (place - (len(errors) - 1) / 2)  # intervals side by side can be told from each other
        x = [100 * float(share) + shift for share in table.columns]
        found = intervals([100 * table[share] for share in table.columns])
        means = [one.mean for one in found]
        axes.plot(x, means, color=look[row].color, marker=look[row].marker, markersize=5, linewidth=1.7, zorder=3)
        axes.errorbar(x, means, bars(found), fmt="none", ecolor=look[row].color, elinewidth=1.0, alpha=0.55, zorder=2)
        ends[row] = (x[-1], means[-1])
    shares = sorted({100 * float(share) for table in errors.values() for share in table.columns})
    axes.xaxis.set_major_locator(FixedLocator(shares))
    axes.xaxis.set_major_formatter(FixedFormatter([f"{share:g} %" for share in shares]))
    axes.set_ylim(0, min(100, axes.get_ylim()[1]))
    calm(axes)
    name_axes(
        axes,
        f"surest share of the {of}" if one_teacher else "surest share, taken in from iteration to iteration",
        "pseudo labels that are wrong (%)",
        over_seeds(map(len, errors.values())),
    )
    name_ends(axes, ends, {row: style.color for row, style in look.items()}, HEIGHT - 0.9)
    return figure


def error_by_class(errors: pd.DataFrame, rows: Sequence[str] | None = None) -> Figure:
    """Share of wrong pseudo labels of every class at every share, a panel a row, as shaded numbers.

    Args:
        errors: As `label_errors` or `surest.surest_errors` give them; seeds and teachers are averaged.
        rows: Which rows of it, at most four can be read; None: the first two.

    Raises:
        ValueError: If nothing is known about single classes.
    """
    told = errors[errors["class"] != ALL]
    chosen = list(dict.fromkeys(told["row"]))[:2] if rows is None else list(rows)
    told = told[told["row"].isin(chosen)]
    if not len(told):
        raise ValueError(f"errors say nothing about the classes of {', '.join(chosen) or 'any row'}")
    tables = {
        row: told[told["row"] == row].pivot_table(index="class", columns="share", values="error", sort=False)
        for row in chosen
    }
    classes = list(dict.fromkeys(told["class"]))
    # The hardest class of the last iteration, mean over the panels, stands on top.
    last = pd.concat([table[max(table.columns)] for table in tables.values()], axis=1).mean(axis=1)
    classes.sort(key=lambda name: -float(last.get(name, math.nan)))
    shares = sorted(set(told["share"]))
    width = 1.3 + len(chosen) * (0.5 * len(shares) + 0.25)
    figure = new_figure(0.9 + 0.27 * len(classes), max(width, 3.2))
    highest = max(0.01, float(np.nanmax([np.nanmax(table.to_numpy()) for table in tables.values()])))
    for number, (row, table) in enumerate(tables.items()):
        axes = figure.add_subplot(1, len(chosen), number + 1)
        values = table.reindex(index=classes, columns=shares).to_numpy(dtype=float)
        axes.imshow(values, cmap="Oranges", vmin=0, vmax=highest, aspect="auto")
        for (line, place), value in np.ndenumerate(values):
            text = "–" if math.isnan(value) else f"{100 * value:.0f}" if value >= 0.0995 else f"{100 * value:.1f}"
            white = value > 0.62 * highest
            axes.text(place, line, text, ha="center", va="center", fontsize=SMALL, color="white" if white else INK)
        axes.set_xticks(range(len(shares)), [f"{100 * share:g} %" for share in shares])
        axes.set_yticks(range(len(classes)), classes if number == 0 else [""] * len(classes))
        axes.tick_params(length=0, labelsize=SMALL, labelcolor=INK)
        axes.spines[:].set_visible(False)
        axes.set_title(row, fontsize=TEXT, loc="left", color=darker(styles([row])[row].color))
    figure.supxlabel("surest share of the pixels of each class; numbers: wrong pseudo labels (%)", fontsize=TEXT)
    return figure
