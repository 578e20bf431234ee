"""Samplers by name: they propose the points of a search.

A sampler is created at every start, from a seed that changes with the number of trials: with a constant one it would
propose the points of the last start again. What it has to know of earlier trials it reads from the study.
"""

import warnings
from collections.abc import Callable
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution

from dmt_ray.errors import ConfigError
from dmt_ray.methods.space import Dimension, Integer, Space, Uniform, Value, rounded


class Rounded(optuna.samplers.BaseSampler):
    """Another sampler, with round values where they have a step.

    Optuna's are `low + k * step` as they come: 0.7000000000000001 for 0.7, which would be another setting than the 0.7
    of a known point, a grid or the command line, and would share no stage with it.
    """

    def __init__(self, sampler: optuna.samplers.BaseSampler) -> None:
        self._sampler = sampler

    def infer_relative_search_space(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """As the other one."""
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The other one's values, rounded."""
        values = self._sampler.sample_relative(study, trial, search_space)
        return {name: _rounded(value, search_space[name]) for name, value in values.items()}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: optuna.trial.FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """The other one's value, rounded."""
        value = self._sampler.sample_independent(study, trial, param_name, param_distribution)
        return _rounded(value, param_distribution)

    def before_trial(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        """As the other one."""
        self._sampler.before_trial(study, trial)

    def after_trial(
        self,
        study: optuna.Study,
        trial: optuna.trial.FrozenTrial,
        state: optuna.trial.TrialState,
        values: Any,
    ) -> None:
        """As the other one."""
        self._sampler.after_trial(study, trial, state, values)


def _rounded(value: Any, distribution: BaseDistribution) -> Any:
    stepped = isinstance(distribution, FloatDistribution) and distribution.step is not None
    return rounded(value) if stepped else value


def make(name: str, space: Space, seed: int) -> optuna.samplers.BaseSampler:
    """The sampler of that name for a space.

    Raises:
        ConfigError: If there is no such sampler.
    """
    if name not in SAMPLERS:
        raise ConfigError(f"there is no sampler {name!r}; known are: {', '.join(SAMPLERS)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return Rounded(SAMPLERS[name](len(space), seed))


# From the space's dimensions and a seed. Of a grid the points are known. The others draw as many trials at random
# as a model of the score needs to be of any use: two for each dimension, and at least 4.
SAMPLERS: dict[str, Callable[[int, int], optuna.samplers.BaseSampler]] = {
    "grid": lambda _, seed: optuna.samplers.RandomSampler(seed=seed),
    "random": lambda _, seed: optuna.samplers.RandomSampler(seed=seed),
    "tpe": lambda dimensions, seed: optuna.samplers.TPESampler(
        seed=seed, n_startup_trials=max(4, 2 * dimensions), multivariate=True, constant_liar=True
    ),
    "gp": lambda dimensions, seed: optuna.samplers.GPSampler(
        seed=seed, n_startup_trials=max(4, 2 * dimensions), warn_independent_sampling=False
    ),
}


def suggested(trial: optuna.Trial, setting: str, values: Dimension, exact: bool) -> Value:
    """A trial's value; `exact`: a given one between two steps is taken as it is."""
    match values:
        case Uniform(low, high, step):
            return float(trial.suggest_float(setting, low, high, step=None if exact else step or None))
        case Integer(low, high):
            return int(trial.suggest_int(setting, low, high))
    chosen = trial.suggest_categorical(setting, values.values)
    assert chosen is not None
    return chosen
