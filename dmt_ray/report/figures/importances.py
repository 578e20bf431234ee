"""Which searched settings matter: Optuna's importances, with their spread."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dmt_ray.errors import MissingStages
from dmt_ray.experiments.sweep import Trial, short
from dmt_ray.experiments.trials import complete
from dmt_ray.methods.space import Choice, Space, Uniform
from dmt_ray.report.figures.kit import BLUE, ORANGE, TEXT, calm, legend_below, name_axes, new_axes

if TYPE_CHECKING:
    import optuna

Evaluator = Literal["fANOVA", "PED-ANOVA"]
EVALUATORS: tuple[Evaluator, ...] = ("fANOVA", "PED-ANOVA")
LEAST_TRIALS = 8  # complete trials below which importances say nothing
REPEATS = 20


def importances(
    space: Space, trials: Sequence[Trial], *, evaluators: Sequence[Evaluator] = EVALUATORS, repeats: int = REPEATS
) -> pd.DataFrame:
    """Optuna's importances of the searched settings, evaluated repeatedly to show their spread.

    fANOVA (Hutter et al. 2014): the share of the score's variance over the space that a setting explains by itself and
    in company, by a random forest. PED-ANOVA (Watanabe et al. 2023): how much the best trials' values differ from all.
    Every repetition draws as many of the trials with replacement, and has a seed of its own: what a different hundred
    trials would have said.

    Args:
        trials: Of which the complete ones count.
        repeats: Repetitions, at least 1.

    Returns:
        setting, evaluator, repeat, importance in ``[0, 1]`` (sum 1 over the settings).

    Raises:
        MissingStages: If fewer than 8 trials are complete.
    """
    done = complete(trials)
    if len(done) < LEAST_TRIALS:
        raise MissingStages(f"importances need at least {LEAST_TRIALS} complete trials, but there are {len(done)}")
    lines = []
    for repeat in range(repeats):
        drawn = np.random.default_rng(repeat).integers(len(done), size=len(done))
        chosen = _study(space, [done[i] for i in drawn])
        for evaluator in evaluators:
            for setting, importance in _evaluated(chosen, evaluator, repeat).items():
                lines.append((setting, evaluator, repeat, importance))
    return pd.DataFrame(lines, columns=["setting", "evaluator", "repeat", "importance"])


def _study(space: Space, trials: Sequence[Trial]) -> "optuna.Study":
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions: dict[str, Any] = {}
    for setting, values in space.items():
        if isinstance(values, Choice):
            distributions[setting] = optuna.distributions.CategoricalDistribution(values.values)
        elif isinstance(values, Uniform):  # without its step: known points may lie between two steps
            distributions[setting] = optuna.distributions.FloatDistribution(values.low, values.high)
        else:
            distributions[setting] = optuna.distributions.IntDistribution(values.low, values.high)
    study = optuna.create_study(direction="maximize")
    for trial in trials:
        params = {setting: trial.params[setting] for setting in space}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=trial.score))
    return study


def _evaluated(chosen: "optuna.Study", evaluator: Evaluator, seed: int) -> dict[str, float]:
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if evaluator == "fANOVA":
            how: Any = optuna.importance.FanovaImportanceEvaluator(seed=seed)
        else:
            # A tenth of the trials, its default, would be one or two of a small search.
            how = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.25)
        return optuna.importance.get_param_importances(chosen, evaluator=how)


def importance_plot(importances: pd.DataFrame) -> Figure:
    """Importances: a dot for every repetition, a bar from the 10th to the 90th percentile, a mark at the median."""
    order = list(importances.groupby("setting", sort=False)["importance"].median().sort_values().index[::-1])
    evaluators = list(dict.fromkeys(importances["evaluator"]))
    figure, axes = new_axes(1.3 + 0.22 * (1 + len(evaluators)) * len(order))
    colors = dict(zip(EVALUATORS, (BLUE, ORANGE), strict=True))
    random = np.random.default_rng(0)
    for place, setting in enumerate(order):
        for row, evaluator in enumerate(evaluators):
            chosen = (importances["setting"] == setting) & (importances["evaluator"] == evaluator)
            values = 100 * importances[chosen]["importance"].to_numpy()
            at = place + 0.34 * (row - (len(evaluators) - 1) / 2)
            low, middle, high = np.quantile(values, (0.1, 0.5, 0.9))
            axes.plot([low, high], [at, at], color=colors[evaluator], linewidth=5, alpha=0.3, solid_capstyle="round")
            jitter = random.uniform(-0.07, 0.07, len(values))
            axes.scatter(values, at + jitter, s=8, color=colors[evaluator], alpha=0.6, linewidth=0, zorder=3)
            axes.plot(middle, at, "D", markersize=6, color=colors[evaluator], markeredgecolor="white", zorder=4)
    axes.set_yticks(range(len(order)), [short(setting) for setting in order])
    axes.set_ylim(len(order) - 0.45, -0.55)
    axes.set_xlim(0, 100)
    calm(axes, grid="x")
    axes.tick_params(axis="y", length=0, labelsize=TEXT)
    repeats = importances["repeat"].nunique()
    title = f"median and middle 80 % of {repeats} evaluations, trials resampled"
    name_axes(axes, "importance (%), sums to 100 over the settings", title=title)
    legend_below(figure, [Line2D([], [], marker="D", linestyle="", color=colors[one], label=one) for one in evaluators])
    return figure
