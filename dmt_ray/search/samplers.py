"""Samplers by name: they propose the points of a search.

A sampler is created at every start, from a seed that changes with the number of trials: with a constant one it would
propose the points of the last start again. What it has to know of earlier trials it reads from the study.
"""

import warnings
from collections.abc import Callable

import optuna

from dmt_ray.errors import ConfigError
from dmt_ray.methods.space import Dimension, Integer, Space, Uniform, Value


def make(name: str, space: Space, seed: int) -> optuna.samplers.BaseSampler:
    """The sampler of that name for a space.

    Raises:
        ConfigError: If there is no such sampler.
    """
    if name not in SAMPLERS:
        raise ConfigError(f"there is no sampler {name!r}; known are: {', '.join(SAMPLERS)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return SAMPLERS[name](len(space), seed)


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
