"""Score against each searched setting separately."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dmt_ray.experiments.sweep import Trial, short
from dmt_ray.experiments.trials import best as best_of
from dmt_ray.methods.space import Choice, Dimension, Space, as_text
from dmt_ray.report.figures.kit import BLUE, GREY, ORANGE, calm, legend_below, name_axes, new_figure

COLUMNS = 4


def slices(space: Space, trials: Sequence[Trial], measure: str = "mIoU") -> Figure:
    """Score of the trials over each dimension of the space.

    Args:
        space: What was searched.
        trials: The trials; those that have no score are left out. A pruned trial's is that of where it was stopped.
    """
    across = min(COLUMNS, len(space))
    down = -(-len(space) // across)
    figure = new_figure(0.8 + 2.6 * down, 1.2 + 2.6 * across)
    scored = [trial for trial in trials if trial.score is not None and trial.params.keys() == space.keys()]
    best, count = best_of(scored), sum(trial.state == "complete" for trial in scored)
    for place, (name, values) in enumerate(space.items()):
        axes = figure.add_subplot(down, across, place + 1)
        _draw_slice(axes, name, values, scored, best)
        y = f"{measure} on the validation images (%)" if place % across == 0 else ""
        name_axes(axes, short(name).replace("_", " "), y)
    handles = [Line2D([], [], marker="o", linestyle="", color=BLUE, label=f"complete trial ({count:,})")]
    if count < len(scored):
        label = f"pruned, running or failed, at its last score ({len(scored) - count:,})"
        handles.append(Line2D([], [], marker="o", linestyle="", markerfacecolor="none", color=GREY, label=label))
    if best is not None:
        label = f"best: trial {best.number}, {measure} {100 * (best.score or 0.0):.2f} %"
        handles.append(Line2D([], [], marker="*", markersize=13, linestyle="", color=ORANGE, label=label))
    legend_below(figure, handles, 3 if across > 1 else 1)
    return figure


def _draw_slice(axes: Axes, name: str, values: Dimension, trials: Sequence[Trial], best: Trial | None) -> None:
    choices = values.values if isinstance(values, Choice) else ()
    for trial in trials:
        value, complete = trial.params[name], trial.state == "complete"
        axes.plot(
            float(choices.index(value) if choices else value),
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
    calm(axes)
