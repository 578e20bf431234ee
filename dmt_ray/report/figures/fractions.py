"""Score against the share of labelled images (DMT, Fig. 8; the Pet study, Fig. 1)."""

import math
from collections.abc import Mapping
from typing import Literal

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from dmt_ray.errors import ConfigError, MissingStages
from dmt_ray.experiments.ablation import Ablation
from dmt_ray.experiments.dimensions import LABEL_FRACTION, METHOD
from dmt_ray.report.figures.look import bars, calm, intervals, name_axes, name_ends, new_figure, over_seeds, styles
from dmt_ray.report.figures.trials import Searched
from dmt_ray.results.tidy import headline

HEIGHT = 3.6
TICK_GAP = 0.09  # least distance of two numbers on the axis, in lengths of the axis
ROWS = {  # name of a method -> what the papers' tables call it
    "baseline": "Baseline",
    "oracle": "Oracle",
    "online_st": "Online ST",
    "pseudo_label": "Pseudo-Label",
    "cbst": "CBST",
    "dst": "DST",
    "dst_double": "DST, twice the steps",
    "dmt": "DMT",
    "dmt_naive": "DMT-Naive",
    "dmt_flip": "DMT-Flip",
    "curriculum": "CL",
    "classical_st": "Self-training",
    "mean_teacher": "Mean Teacher",
    "fixmatch": "FixMatch",
    "cps": "CPS",
    "direct_mutual": "Direct mutual learning",
    "iml": "IML",
    "rml": "RML",
    "rwms": "RWMS",
}
Scores = Mapping[str, Mapping[float, tuple[float, ...]]]


def fraction_scores(
    frame: pd.DataFrame, ablation: Ablation, *, rule: Literal["last", "val", "paper"] = "last"
) -> dict[str, dict[float, tuple[float, ...]]]:
    """Reported score at every amount of labelled images.

    Args:
        frame: The tidy table of the ablation (`dmt_ray.results.tidy`).
        ablation: Its columns differ in `split.labelled`.
        rule: Which selection rule's scores.

    Returns:
        Row -> amount -> fractions, one a seed. An amount up to 1 is a share, else a number of images. A column that is
        not complete is left out of the row.

    Raises:
        ConfigError: If the columns do not differ in the labelled images, or shares and numbers are mixed.
        MissingStages: If less than two columns are there.
    """
    amounts = {cell.column: cell.config.split.labelled for cell in ablation.cells}
    if len(set(amounts.values())) < max(2, len(amounts)) or len({type(amount) for amount in amounts.values()}) > 1:
        told = ", ".join(f"{column}: {amount}" for column, amount in amounts.items())
        raise ConfigError(
            "score against label fraction needs columns that differ in split.labelled, all shares or all numbers of "
            f"images, but got {told}"
        )
    asked = (frame["rule"] == rule) & (frame["metric"] == headline(frame)) & (frame["images"] == "reported")
    found: dict[str, dict[float, tuple[float, ...]]] = {}
    for (row, column), lines in frame[asked & (frame["state"] == "there")].groupby(["row", "column"], sort=False):
        found.setdefault(str(row), {})[float(amounts[str(column)])] = tuple(map(float, lines["value"]))
    if len({amount for row in found.values() for amount in row}) < 2:
        raise MissingStages("less than two labelled ratios are complete yet")
    return found


def searched_fraction_scores(searched: Searched) -> dict[str, dict[float, tuple[float, ...]]]:
    """Reported score at every share of labelled images of a sweep over them and methods, as `searches.label_fraction`.

    Returns:
        As `fraction_scores`; the mean of the models after the last iteration. A point that several trials have is that
        of the last one.

    Raises:
        ConfigError: If the sweep does not search the label fraction, and at most the method beside it.
        MissingStages: If less than two shares are there.
    """
    sweep = searched.sweep
    if LABEL_FRACTION not in sweep.space or not set(sweep.space) <= {LABEL_FRACTION, METHOD}:
        raise ConfigError(f"score against label fraction needs a sweep over it, but {sweep.name} searches other things")
    found: dict[str, dict[float, tuple[float, ...]]] = {}
    for trial in searched.complete:
        if trial.number in searched.reported:
            method = sweep.method_of(trial.params)
            by_share = found.setdefault(ROWS.get(method, method), {})
            by_share[float(trial.params[LABEL_FRACTION])] = searched.reported[trial.number]
    if len({share for row in found.values() for share in row}) < 2:
        raise MissingStages("less than two labelled ratios are complete yet")
    return found


def score_by_fraction(scores: Scores, *, rule_of: str = "after the last iteration", measure: str = "mIoU") -> Figure:
    """Score of each row against the labelled images, on a logarithmic axis: means over seeds, 95 % t intervals.

    Args:
        scores: Row -> amount -> fractions, one a seed, as `fraction_scores` gives them. The oracle, which sees all
            labels whatever the amount, is a dashed line.
        rule_of: When or how the scored model was chosen.
        measure: What the score is.
    """
    figure = new_figure(HEIGHT)
    axes = figure.add_subplot()
    look, ends = styles(scores), {}
    amounts = sorted({amount for row in scores.values() for amount in row})
    for place, (row, by_amount) in enumerate(scores.items()):
        color = look[row].color
        shift = 1.015 ** (place - (len(scores) - 1) / 2)  # side by side: intervals would hide each other
        x = [amount * shift for amount in sorted(by_amount)]
        found = intervals([[100 * score for score in by_amount[amount]] for amount in sorted(by_amount)])
        means = [one.mean for one in found]
        oracle = row == "Oracle"
        axes.plot(
            x,
            means,
            color=color,
            marker=None if oracle else look[row].marker,
            linestyle=(0, (4, 2)) if oracle else "-",
            markersize=5,
            linewidth=1.3 if oracle else 1.7,
            zorder=3,
        )
        if not oracle:
            axes.errorbar(x, means, bars(found), fmt="none", ecolor=color, elinewidth=1.0, alpha=0.55, zorder=2)
        ends[row] = (x[-1], means[-1])
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(amounts))
    axes.xaxis.set_major_formatter(FixedFormatter(_tick_labels(amounts)))
    axes.xaxis.set_minor_locator(NullLocator())
    calm(axes)
    name_axes(
        axes,
        "labelled share of the train images" if amounts[-1] <= 1 else "labelled images",
        f"reported {measure} {rule_of} (%)",
        over_seeds(len(values) for row in scores.values() for values in row.values()),
    )
    axes.set_ylim(axes.get_ylim())
    name_ends(axes, ends, {row: style.color for row, style in look.items()}, HEIGHT - 0.9)
    return figure


def _tick_labels(amounts: list[float]) -> list[str]:
    """An amount each, without those that would lie over the one before."""
    told, last = [], -math.inf
    for amount in amounts:
        fits = math.log(amount) - last > TICK_GAP * math.log(amounts[-1] / amounts[0])
        told.append(_in_words(amount) if fits else "")
        last = math.log(amount) if fits else last
    return told


def _in_words(amount: float) -> str:
    return f"{100 * amount:.3g} %" if amount <= 1 else f"{amount:g}"
