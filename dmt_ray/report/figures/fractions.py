"""Score against the share of labelled images (DMT, Fig. 8; the Pet study, Fig. 1)."""

import math
from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from dmt_ray.config.derived import LABEL_FRACTION, METHOD
from dmt_ray.errors import ConfigError, MissingStages
from dmt_ray.experiments.ablation import Ablation
from dmt_ray.report.figures.kit import HEIGHT, calm, draw_means, name_axes, name_ends, new_axes, over_seeds, styles
from dmt_ray.report.figures.trials import SweepTrials
from dmt_ray.report.titles import METHODS
from dmt_ray.results.tidy import scored

TICK_GAP = 0.09  # least distance of two numbers on the axis, in lengths of the axis


def fraction_scores(
    frame: pd.DataFrame, ablation: Ablation, *, rule: str = "last"
) -> dict[str, dict[float, tuple[float, ...]]]:
    """Test score at every amount of labelled images.

    Args:
        frame: The tidy table of the ablation (`dmt_ray.results.tidy`).
        ablation: Its columns differ in `split.labelled`.

    Returns:
        Row -> amount -> fractions, one a seed. An amount up to 1 is a share, else a number of images. A column that is
        not complete is left out of the row.

    Raises:
        ConfigError: If the columns do not differ in the labelled images, or shares and numbers are mixed.
        MissingStages: If fewer than two columns are complete.
    """
    amounts = {cell.column: cell.config.split.labelled for cell in ablation.cells}
    if len(set(amounts.values())) < max(2, len(amounts)) or len({type(amount) for amount in amounts.values()}) > 1:
        got = ", ".join(f"{column}: {amount}" for column, amount in amounts.items())
        needed = "columns that differ in split.labelled, all shares or all numbers of images"
        raise ConfigError(f"score against label fraction needs {needed}, but got {got}")
    scores: dict[str, dict[float, tuple[float, ...]]] = {}
    for (row, column), lines in scored(frame, rule=rule).groupby(["row", "column"], sort=False):
        scores.setdefault(str(row), {})[float(amounts[str(column)])] = tuple(map(float, lines["value"]))
    return _checked(scores)


def sweep_fraction_scores(swept: SweepTrials) -> dict[str, dict[float, tuple[float, ...]]]:
    """Test score at every share of labelled images of a sweep over them and methods, as `searches.label_fraction`.

    Returns:
        As `fraction_scores`; the mean of the models after the last iteration. A point that several trials have is that
        of the last one.

    Raises:
        ConfigError: If the sweep does not search the label fraction, and at most the method beside it.
        MissingStages: If fewer than two shares are complete.
    """
    sweep = swept.sweep
    if LABEL_FRACTION not in sweep.space or not set(sweep.space) <= {LABEL_FRACTION, METHOD}:
        raise ConfigError(f"score against label fraction needs a sweep over it, but {sweep.name} searches other things")
    scores: dict[str, dict[float, tuple[float, ...]]] = {}
    for trial in swept.complete:
        if trial.number in swept.test_scores:
            method = sweep.method_of(trial.params)
            by_share = scores.setdefault(METHODS.get(method, method), {})
            by_share[float(trial.params[LABEL_FRACTION])] = swept.test_scores[trial.number]
    return _checked(scores)


def _checked(scores: dict[str, dict[float, tuple[float, ...]]]) -> dict[str, dict[float, tuple[float, ...]]]:
    if len({amount for row in scores.values() for amount in row}) < 2:
        raise MissingStages("fewer than two labelled ratios are complete yet")
    return scores


def score_by_fraction(scores: Mapping[str, Mapping[float, tuple[float, ...]]], *, measure: str = "mIoU") -> Figure:
    """Score of each row against the labelled images, on a logarithmic axis: means over seeds, 95 % t intervals.

    Args:
        scores: Row -> amount -> fractions, one a seed, as `fraction_scores` gives them. The oracle, which sees all
            labels whatever the amount, is a dashed line.
    """
    figure, axes = new_axes()
    look, ends = styles(scores), {}
    amounts = sorted({amount for row in scores.values() for amount in row})
    for place, (row, by_amount) in enumerate(scores.items()):
        shift = 1.015 ** (place - (len(scores) - 1) / 2)  # side by side: intervals would hide each other
        x = [amount * shift for amount in sorted(by_amount)]
        values = [[100 * score for score in by_amount[amount]] for amount in sorted(by_amount)]
        if row == "Oracle":
            means = [math.fsum(group) / len(group) for group in values]
            axes.plot(x, means, color=look[row].color, linestyle=(0, (4, 2)), linewidth=1.3, zorder=3)
            ends[row] = (x[-1], means[-1])
        else:
            ends[row] = draw_means(axes, x, values, look[row])
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(amounts))
    axes.xaxis.set_major_formatter(FixedFormatter(_tick_labels(amounts)))
    axes.xaxis.set_minor_locator(NullLocator())
    calm(axes)
    x_label = "labelled share of the train images" if amounts[-1] <= 1 else "labelled images"
    title = over_seeds(len(values) for row in scores.values() for values in row.values())
    name_axes(axes, x_label, f"test {measure} after the last iteration (%)", title)
    name_ends(axes, ends, look, HEIGHT - 0.9)
    return figure


def _tick_labels(amounts: list[float]) -> list[str]:
    """Tick labels for the amounts, without those that would overlap the one before."""
    labels, last = [], -math.inf
    for amount in amounts:
        fits = math.log(amount) - last > TICK_GAP * math.log(amounts[-1] / amounts[0])
        text = f"{100 * amount:.3g} %" if amount <= 1 else f"{amount:g}"
        labels.append(text if fits else "")
        last = math.log(amount) if fits else last
    return labels
