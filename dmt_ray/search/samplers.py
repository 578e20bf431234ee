"""Samplers by name: what proposes the points of a search.

A sampler is made anew at every start, from a seed that changes with the number of trials: with a constant one it would
propose the points of the last start again. What it has to know of earlier trials it reads from the study.
"""

import warnings
from collections.abc import Callable

import optuna

from dmt_ray.errors import ConfigError
from dmt_ray.methods.space import Space

GRID = "grid"
# With fewer trials than this there is nothing to learn from: points are drawn at random.
STARTUP_TRIALS = 4


def startup_trials(space: Space) -> int:
    """Trials that are drawn at random before a model of the score is of any use: two for each dimension."""
    return max(STARTUP_TRIALS, 2 * len(space))


def make(name: str, space: Space, seed: int) -> optuna.samplers.BaseSampler:
    """A sampler.

    Args:
        name: A name in `SAMPLERS`; of "grid" the points are known beforehand.
        space: What it proposes.
        seed: Of its random numbers.

    Raises:
        ConfigError: If there is no such sampler.
    """
    if name not in SAMPLERS:
        raise ConfigError(f"there is no sampler {name!r}; known are: {', '.join(SAMPLERS)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return SAMPLERS[name](space, seed)


def _tpe(space: Space, seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.TPESampler(
        seed=seed, n_startup_trials=startup_trials(space), multivariate=True, constant_liar=True
    )


def _gp(space: Space, seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.GPSampler(seed=seed, n_startup_trials=startup_trials(space), warn_independent_sampling=False)


SAMPLERS: dict[str, Callable[[Space, int], optuna.samplers.BaseSampler]] = {
    GRID: lambda space, seed: optuna.samplers.RandomSampler(seed=seed),
    "random": lambda space, seed: optuna.samplers.RandomSampler(seed=seed),
    "tpe": _tpe,
    "gp": _gp,
}
