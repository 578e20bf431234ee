"""Test score against the one setting that was searched, such as the epochs between reversals (Pet study, Fig. 1)."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from dmt_ray.errors import ConfigError, MissingStages
from dmt_ray.methods.space import Value, as_text
from dmt_ray.report.figures.kit import BLUE, Style, calm, draw_means, name_axes, new_axes, over_seeds
from dmt_ray.report.figures.trials import SweepTrials


def setting_scores(swept: SweepTrials) -> dict[Value, tuple[float, ...]]:
    """Test scores at every value of a setting that is searched alone.

    Returns:
        Value, in rising order if they are numbers -> fractions, one a seed: the mean of the models after the last
        iteration. A value that several trials have is that of the last one.

    Raises:
        ConfigError: If more than one thing is searched.
        MissingStages: If fewer than two values are complete.
    """
    space = swept.sweep.space
    if len(space) != 1:
        raise ConfigError(f"score against a setting needs a search over one setting, but this one is over {len(space)}")
    [setting] = space
    known = [trial for trial in swept.complete if trial.number in swept.test_scores]
    scores = {trial.params[setting]: swept.test_scores[trial.number] for trial in known}
    if len(scores) < 2:
        raise MissingStages("fewer than two values are complete yet")
    if any(isinstance(value, str) for value in scores):
        return scores
    return {value: scores[value] for value in sorted(scores)}


def score_by_setting(scores: Mapping[Value, tuple[float, ...]], setting: str, *, measure: str = "mIoU") -> Figure:
    """Means over seeds with 95 % t intervals, at every value.

    Args:
        scores: Value -> fractions, one a seed, as `setting_scores` gives them.
        setting: Name of what was searched.
    """
    figure, axes = new_axes(3.4)
    words = any(isinstance(value, str) for value in scores)
    x = [float(place if words else value) for place, value in enumerate(scores)]
    draw_means(axes, x, [[100 * score for score in values] for values in scores.values()], Style(BLUE, "o"))
    if len(scores) <= 12:
        axes.set_xticks(x, [as_text(value) for value in scores])
    calm(axes)
    x_label, y_label = setting.replace("_", " ").replace(".", ": "), f"test {measure} after the last iteration (%)"
    name_axes(axes, x_label, y_label, over_seeds(map(len, scores.values())))
    return figure
