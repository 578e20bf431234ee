"""How wrong pseudo labels are: among the most confident 20 to 100 % (DMT, Fig. 1), and class by class."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator

from dmt_ray.errors import MissingStages
from dmt_ray.experiments.ablation import Member
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.plan import Plan, Stage
from dmt_ray.plan.files import CONFIDENCE
from dmt_ray.report.figures import kit
from dmt_ray.results.scores import summary
from dmt_ray.store import Store

FIRST = "before pseudo labels"
ALL = ""  # in the column `class`: of all classes together
COLUMNS = ("row", "seed", "iteration", "teacher", "share", "class", "kept", "error")


def label_errors(store: Store, runs: Iterable[Member], dataset_info: DatasetInfo) -> pd.DataFrame:
    """The errors that the labellings of an ablation have recorded, where they are stored.

    Args:
        dataset_info: Names of the classes.

    Returns:
        One line for a labelling and class, and one (class "") for all classes: row, seed, iteration, teacher ("A" or
        "B"), share (the most confident fraction of the pixels that the plan labels), kept (the share of the predicted
        pixels that got a label, of class "": of all pixels) and error (the share of labels that are wrong, NaN where
        none is judged); fractions.

    Raises:
        MissingStages: If no labelling is stored, or none could be compared with the truth.
    """
    lines = [line for one in runs for line in _of_plan(store, one.cell.row, one.seed, one.plan, dataset_info)]
    frame = pd.DataFrame(lines, columns=list(COLUMNS))
    if not len(frame):
        raise MissingStages("no pseudo labels are stored: no row that makes them, such as DST or DMT, has got that far")
    if not frame["error"].notna().any():
        raise MissingStages("no pseudo labels whose truth is known are stored")
    return frame


def _of_plan(store: Store, row: str, seed: int, plan: Plan, dataset_info: DatasetInfo) -> Iterable[dict[str, Any]]:
    for line, stage in _labellings(store, row, seed, plan):
        labels = summary(store, stage)
        # Labels from elsewhere are chosen by their precision, not as a share.
        line["share"] = float(getattr(stage.config, "share", labels["kept"]))
        yield line | {"class": ALL, "kept": labels["kept"], "error": 1 - _number(labels["accuracy"])}
        for number, accuracy in enumerate(labels["class_accuracy"] or []):
            of_class = {"class": dataset_info.class_name(number), "kept": _number(labels["coverage"][number])}
            yield line | of_class | {"error": 1 - _number(accuracy)}


def _labellings(store: Store, row: str, seed: int, plan: Plan) -> Iterable[tuple[dict[str, Any], Stage]]:
    """The stored labellings of a plan, and the leading columns of every line about one."""
    counts = dict.fromkeys("AB", 0)
    for stage in plan.stages():
        if CONFIDENCE in stage.config.writes and store.has(stage):
            teacher = stage.side
            counts[teacher] += 1
            yield {"row": row, "seed": seed, "iteration": counts[teacher], "teacher": teacher}, stage


def teacher_errors(store: Store, runs: Iterable[Member]) -> pd.DataFrame:
    """How wrong the labels of single teachers are among their most confident 20 to 100 % (DMT, Fig. 1).

    Of every row the teachers of its last labels; and in a row `FIRST` those of the first labels, which are the models
    before any pseudo label.

    Args:
        store: Where the labellings are, which know it of themselves.

    Returns:
        As `label_errors`, lines for all classes together; kept is unknown.

    Raises:
        MissingStages: If no labelling is stored that was compared with the truth.
    """
    first, last = [], []
    for one in runs:
        lines = list(_of_teachers(store, one.cell.row, one.seed, one.plan))
        count = max((line["iteration"] for line in lines), default=0)
        first += [line | {"row": FIRST} for line in lines if line["iteration"] == 1]
        last += [line for line in lines if line["iteration"] == count > 1]
    frame = pd.DataFrame([*first, *last], columns=list(COLUMNS)).drop_duplicates(ignore_index=True)
    if not frame["error"].notna().any():
        raise MissingStages("no labelling whose truth is known is stored, or one of an earlier version")
    return frame


def _of_teachers(store: Store, row: str, seed: int, plan: Plan) -> Iterable[dict[str, Any]]:
    for line, stage in _labellings(store, row, seed, plan):
        for share, error in summary(store, stage).get("error_by_share", {}).items():
            yield line | {"class": ALL, "share": float(share), "kept": math.nan, "error": _number(error)}


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def errors_by_share(errors: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Row -> error of all classes together, one line per seed, one column per share; the mean over teachers.

    Args:
        errors: As `label_errors` or `Predictor.confident_errors` give them.
    """
    return kit.seeds_by(errors[errors["class"] == ALL], "share", "error")


def error_of_most_confident(
    errors: Mapping[str, pd.DataFrame], *, one_teacher: bool = False, of: str = "pixels"
) -> Figure:
    """Share of wrong pseudo labels against the most confident fraction of the pixels, or images, that get one.

    Args:
        errors: Row -> fractions, one line per seed, one column per share, as `errors_by_share` gives them.
        one_teacher: Whether a line is about one trained model, as in DMT, Fig. 1. Else every share is that of another
            iteration with its own teacher, as the labellings of a run are stored.
        of: What is labelled: "pixels" or "images".
    """
    figure, axes = kit.new_axes()
    look, ends = kit.styles(errors), {}
    for place, (row, table) in enumerate(errors.items()):
        shift = 0.8 * (place - (len(errors) - 1) / 2)  # intervals side by side can be told from each other
        x = [100 * float(share) + shift for share in table.columns]
        ends[row] = kit.draw_means(axes, x, [100 * table[share] for share in table.columns], look[row])
    shares = sorted({100 * float(share) for table in errors.values() for share in table.columns})
    axes.xaxis.set_major_locator(FixedLocator(shares))
    axes.xaxis.set_major_formatter(FixedFormatter([f"{share:g} %" for share in shares]))
    axes.set_ylim(0, min(100, axes.get_ylim()[1]))
    kit.calm(axes)
    x_label = "most confident fraction" + (f" of the {of}" if one_teacher else ", taken in from iteration to iteration")
    kit.name_axes(axes, x_label, "pseudo labels that are wrong (%)", kit.over_seeds(map(len, errors.values())))
    kit.name_ends(axes, ends, look, kit.HEIGHT - 0.9)
    return figure


def error_by_class(errors: pd.DataFrame, rows: Sequence[str] | None = None) -> Figure:
    """Share of wrong pseudo labels of every class at every share, one panel per row, as shaded numbers.

    Args:
        errors: As `label_errors` or `Predictor.confident_errors` give them; seeds and teachers are averaged.
        rows: Which rows of it, at most four can be read; None: the first two.

    Raises:
        ValueError: If nothing is known about single classes.
    """
    lines = errors[errors["class"] != ALL]
    chosen = list(dict.fromkeys(lines["row"]))[:2] if rows is None else list(rows)
    lines = lines[lines["row"].isin(chosen)]
    if not len(lines):
        raise ValueError(f"errors say nothing about the classes of {', '.join(chosen) or 'any row'}")
    of_row = {row: lines[lines["row"] == row] for row in chosen}
    tables = {row: own.pivot_table("error", "class", "share", sort=False) for row, own in of_row.items()}
    classes = list(dict.fromkeys(lines["class"]))
    # The hardest class of the last iteration, mean over the panels, stands on top.
    last = pd.concat([table[max(table.columns)] for table in tables.values()], axis=1).mean(axis=1)
    classes.sort(key=lambda name: -float(last.get(name, math.nan)))
    shares = sorted(set(lines["share"]))
    width = 1.3 + len(chosen) * (0.5 * len(shares) + 0.25)
    figure = kit.new_figure(0.9 + 0.27 * len(classes), max(width, 3.2))
    highest = max(0.01, float(np.nanmax([np.nanmax(table.to_numpy()) for table in tables.values()])))
    for number, (row, table) in enumerate(tables.items()):
        axes = figure.add_subplot(1, len(chosen), number + 1)
        values = table.reindex(index=classes, columns=shares).to_numpy(dtype=float)
        axes.imshow(values, cmap="Oranges", vmin=0, vmax=highest, aspect="auto")
        for (line, place), value in np.ndenumerate(values):
            text = "–" if math.isnan(value) else f"{100 * value:.0f}" if value >= 0.0995 else f"{100 * value:.1f}"
            white = value > 0.62 * highest
            axes.text(
                place, line, text, ha="center", va="center", fontsize=kit.SMALL, color="white" if white else kit.INK
            )
        axes.set_xticks(range(len(shares)), [f"{100 * share:g} %" for share in shares])
        axes.set_yticks(range(len(classes)), classes if number == 0 else [""] * len(classes))
        axes.tick_params(length=0, labelsize=kit.SMALL, labelcolor=kit.INK)
        axes.spines[:].set_visible(False)
        axes.set_title(row, fontsize=kit.TEXT, loc="left", color=kit.darker(kit.styles([row])[row].color))
    figure.supxlabel("most confident fraction of each class; numbers: wrong labels (%)", fontsize=kit.TEXT)
    return figure
