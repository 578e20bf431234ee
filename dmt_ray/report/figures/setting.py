"""Reported score against the one setting that was searched, such as the epochs between two reversals (000, Fig. 1)."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from dmt_ray.errors import ConfigError, MissingStages
from dmt_ray.methods.space import Value, as_text
from dmt_ray.report.figures.kit import BLUE
from dmt_ray.report.figures.look import bars, calm, intervals, name_axes, new_figure, over_seeds
from dmt_ray.report.figures.trials import Searched

HEIGHT = 3.4


def setting_scores(searched: Searched) -> dict[Value, tuple[float, ...]]:
    """Reported scores at every value of a setting that is searched alone.

    Returns:
        Value, in rising order if they are numbers -> fractions, one a seed: the mean of the models after the last
        iteration. A value that several trials have is that of the last one.

    Raises:
        ConfigError: If more than one thing is searched.
        MissingStages: If less than two values are there.
    """
    sweep = searched.sweep
    if len(sweep.space) != 1:
        raise ConfigError(f"score against a setting needs a search over one, but here are {len(sweep.space)}")
    [setting] = sweep.space
    found = {
        trial.params[setting]: searched.reported[trial.number]
        for trial in searched.complete
        if trial.number in searched.reported
    }
    if len(found) < 2:
        raise MissingStages("less than two values are complete yet")
    if any(isinstance(value, str) for value in found):
        return found
    return {value: found[value] for value in sorted(found)}


def score_by_setting(scores: Mapping[Value, tuple[float, ...]], setting: str, *, measure: str = "mIoU") -> Figure:
    """Means over seeds with 95 % t intervals, at every value.

    Args:
        scores: Value -> fractions, one a seed, as `setting_scores` gives them.
        setting: Name of what was searched.
        measure: What the score is.
    """
    figure = new_figure(HEIGHT)
    axes = figure.add_subplot()
    found = intervals([[100 * score for score in values] for values in scores.values()])
    numbers = [value for value in scores if not isinstance(value, str)]
    x = [float(value) for value in numbers] if len(numbers) == len(scores) else list(map(float, range(len(scores))))
    means = [one.mean for one in found]
    axes.plot(x, means, color=BLUE, linewidth=1.7, marker="o", markersize=5, zorder=3)
    axes.errorbar(x, means, bars(found), fmt="none", ecolor=BLUE, elinewidth=1.0, alpha=0.55, zorder=2)
    if len(scores) <= 12:
        axes.set_xticks(x, [as_text(value) for value in scores])
    calm(axes)
    name_axes(
        axes,
        setting.replace("_", " ").replace(".", ": "),
        f"reported {measure} after the last iteration (%)",
        over_seeds(map(len, scores.values())),
    )
    return figure
