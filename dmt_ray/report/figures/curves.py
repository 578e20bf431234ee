"""Scores of trials over their iterations, and what a training logs over its optimizer steps."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from dmt_ray.experiments.sweep import Trial
from dmt_ray.experiments.trials import best
from dmt_ray.plan.words import counted
from dmt_ray.report.figures import kit
from dmt_ray.report.titles import HISTORIES


def curves(trials: Sequence[Trial], measure: str = "mIoU") -> Figure:
    """Score of every trial after each iteration, the best one marked.

    Args:
        trials: The trials; those without a score are left out.
    """
    figure, axes = kit.new_axes()
    winner, pruned = best(trials), 0
    open_circle: kit.Look = {"marker": "o", "markerfacecolor": "white", "markeredgecolor": kit.BLACK}
    handles = []
    for trial in trials:
        rungs = sorted(trial.scores)
        values = [100 * trial.scores[rung] for rung in rungs]
        if not rungs:
            continue
        if trial is winner:
            label = f"best: trial {trial.number}, {measure} {values[-1]:.2f} %"
            handles += axes.plot(
                rungs, values, "o-", color=kit.BLUE, linewidth=2.4, markersize=5, zorder=4, label=label
            )
        else:
            axes.plot(rungs, values, color=kit.GREY, linewidth=1.0, alpha=0.65, zorder=2)
        if trial.state == "pruned":
            pruned += 1
            axes.plot(rungs[-1], values[-1], markersize=6, zorder=3, **open_circle)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    kit.calm(axes)
    x, y = "iteration (0: before any pseudo label)", f"{measure} on the validation images (%)"
    kit.name_axes(axes, x, y, counted(len(trials), "trial"))
    handles += [Line2D([], [], color=kit.GREY, label="other trials")] if len(trials) > 1 else []
    handles += [Line2D([], [], linestyle="", label=f"pruned here ({pruned})", **open_circle)] if pruned else []
    kit.legend_below(figure, handles)
    return figure


def training_curves(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Loss, agreement, weight and pseudo-label accuracy of each model over all its optimizer steps.

    Args:
        histories: Model ("A", "B", or such a name with its seed) -> rows in the order of training with the columns
            ``step`` (counts on over the stages), ``rung``, ``loss`` and those of `HISTORIES` that the method has. A
            missing value is a gap.
    """
    columns = [c for c in HISTORIES if any(c in h and h[c].notna().any() for h in histories.values())]
    across, down = min(2, max(1, len(columns))), max(1, (len(columns) + 1) // 2)
    figure = kit.new_figure(0.7 + 2.7 * down, kit.WIDTH if across == 1 else 1.7 * kit.WIDTH)
    boundaries = _boundaries(histories)
    for number, column in enumerate(columns):
        axes = figure.add_subplot(down, across, number + 1)
        title, unit = HISTORIES[column]
        for model, history in histories.items():
            if column in history:
                color, dashes = kit.MODELS.get(model[:1], (kit.GREY, "-"))
                values = history[column] * (100 if "%" in unit else 1)
                axes.plot(history["step"], values, color=color, linestyle=dashes, linewidth=1.5, label=f"model {model}")
        for step, rung in boundaries:
            axes.axvline(step, color=kit.GREY, linewidth=0.8, alpha=0.6, zorder=1)
            place: kit.Look = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
            axes.annotate(str(rung), (step, 1), (3, -10), fontsize=kit.SMALL, color=kit.INK, **place)
        axes.set_xlim(left=0)
        axes.margins(y=0.12)
        kit.calm(axes)
        kit.name_axes(axes, "optimizer steps (thin lines: iterations)", unit, title)
    if columns:
        kit.legend_below(figure, figure.axes[0].get_legend_handles_labels()[0], columns=4)
    return figure


def _boundaries(histories: Mapping[str, pd.DataFrame]) -> list[tuple[float, int]]:
    """Steps at which iterations 1, 2, ... begin, for the model with the most of them."""
    most: list[tuple[float, int]] = []
    for history in histories.values():
        ends = history.groupby("rung")["step"].max()
        most = max(most, [(float(ends.iloc[i]), int(ends.index[i + 1])) for i in range(len(ends) - 1)], key=len)
    return most
