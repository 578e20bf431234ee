"""The figure of a search over more, or other, than two exponents: its score over each thing that is searched."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dmt_ray.experiments.sweep import Trial, short
from dmt_ray.methods.space import Choice, Dimension, Space, as_text
from dmt_ray.report.figures.kit import BLUE, GREY, ORANGE

COLUMNS = 4


def slices(space: Space, trials: Sequence[Trial], measure: str = "mIoU") -> Figure:
    """Score of the trials over each dimension of the space.

    Args:
        space: What was searched.
        trials: The trials; those that have no score are left out. A pruned trial's is that of where it was stopped.
        measure: What the score is.
    """
    across = min(COLUMNS, len(space))
    down = -(-len(space) // across)
    figure = Figure(figsize=(1.2 + 3.2 * across, 0.9 + 3.0 * down), layout="constrained")
    scored = [trial for trial in trials if trial.score is not None and trial.params.keys() == space.keys()]
    complete = [trial for trial in scored if trial.state == "complete"]
    best = max(complete, key=lambda trial: trial.score or 0.0, default=None)
    for place, (name, values) in enumerate(space.items()):
        axes = figure.add_subplot(down, across, place + 1)
        _slice(axes, name, values, scored, best)
        if place % across == 0:
            axes.set_ylabel(f"{measure} on the validation images (%)", fontsize=10)
    handles = [Line2D([], [], marker="o", linestyle="", color=BLUE, label=f"complete trial ({len(complete)})")]
    if len(complete) < len(scored):
        label = f"pruned, running or failed, at its last score ({len(scored) - len(complete)})"
        handles.append(Line2D([], [], marker="o", linestyle="", markerfacecolor="none", color=GREY, label=label))
    if best is not None:
        label = f"best: trial {best.number}, {measure} {100 * (best.score or 0.0):.2f} %"
        handles.append(Line2D([], [], marker="*", markersize=13, linestyle="", color=ORANGE, label=label))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=9.5)
    return figure


def _slice(axes: Axes, name: str, values: Dimension, trials: Sequence[Trial], best: Trial | None) -> None:
    choices = values.values if isinstance(values, Choice) else ()

    def place(trial: Trial) -> float:
        value = trial.params[name]
        return float(choices.index(value) if choices else value)

    for trial in trials:
        complete = trial.state == "complete"
        axes.plot(
            place(trial),
            100 * (trial.score or 0.0),
            marker="*" if trial is best else "o",
            markersize=14 if trial is best else 6,
            color=ORANGE if trial is best else BLUE if complete else GREY,
            markerfacecolor=None if complete else "none",
            zorder=4 if trial is best else 3,
        )
    if choices:
        axes.set_xticks(range(len(choices)), [as_text(value) for value in choices])
        axes.set_xlim(-0.5, len(choices) - 0.5)
    axes.set_xlabel(short(name).replace("_", " "), fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#DDDDDD", linewidth=0.7)
    axes.set_axisbelow(True)
