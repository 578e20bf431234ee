"""Samplers by name: who proposes the points of a search.

A sampler is made anew at every start, from a seed that changes with the number of trials: with a constant one it would
propose the points of the last start again. What it has to know of earlier trials it reads from the study.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from dmt_ray.errors import ConfigError
from dmt_ray.methods.space import Choice, Integer, Params, Space, Uniform
from dmt_ray.plan.key import key_of

GRID = "grid"
# With fewer trials than this there is nothing to learn from: points are drawn at random.
STARTUP_TRIALS = 4
SIGMA = 0.25  # of CMA-ES to begin with, in units of a range: three of them reach from the middle to either end
_GENERATION = "cmaes:generation"


def startup_trials(space: Space) -> int:
    """Trials that are drawn at random before a model of the score is of any use: two for each dimension."""
    return max(STARTUP_TRIALS, 2 * len(space))


def make(name: str, space: Space, seed: int, *, second: bool = False) -> optuna.samplers.BaseSampler:
    """A sampler.

    Args:
        name: A name in `SAMPLERS`, other than "grid": a grid's points are known beforehand.
        space: What it proposes.
        seed: Of its random numbers.
        second: Whether there are two objectives.

    Raises:
        ConfigError: If it cannot search this space.
    """
    check(name, space, second=second)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return SAMPLERS[name](space, seed)


def check(name: str, space: Space, *, second: bool = False) -> None:
    """Say what stands against this sampler.

    Raises:
        ConfigError: If there is no such sampler, or it cannot search this space.
    """
    if name not in SAMPLERS:
        raise ConfigError(f"there is no sampler {name!r}; known are: {', '.join(SAMPLERS)}")
    if name != "cmaes":
        return
    if second:
        raise ConfigError("the sampler cmaes has one objective: use tpe, gp or random with a second one")
    if not _numeric(space):
        raise ConfigError(f"the sampler cmaes needs a range, but {' and '.join(space)} are choices: use grid or tpe")


def _tpe(space: Space, seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.TPESampler(
        seed=seed, n_startup_trials=startup_trials(space), multivariate=True, constant_liar=True
    )


def _gp(space: Space, seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.GPSampler(seed=seed, n_startup_trials=startup_trials(space), warn_independent_sampling=False)


def _numeric(space: Space) -> dict[str, Uniform | Integer]:
    return {name: values for name, values in space.items() if not isinstance(values, Choice)}


def _distribution(values: Uniform | Integer) -> BaseDistribution:
    if isinstance(values, Integer):
        return IntDistribution(values.low, values.high)
    return FloatDistribution(values.low, values.high, step=values.step or None)


class CmaEs(optuna.samplers.BaseSampler):
    """CMA-ES over the ranges of a space; choices are drawn at random.

    Optuna's own keeps its state pickled in the study, and nothing is unpickled here. This one has no state: it is
    brought up to date by telling a new optimizer the finished generations, which gives the same one.

    Args:
        space: What it proposes.
        seed: Of its random numbers.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self._space = _numeric(space)
        self._seed = seed
        self._random = optuna.samplers.RandomSampler(seed=seed)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The ranges."""
        return {name: _distribution(values) for name, values in self._space.items()}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The next point of the current generation."""
        if trial.params:
            return {}  # a part of it was drawn before a kill
        optimizer = self._optimizer(study, key_of([self._seed, trial.number]))
        study._storage.set_trial_system_attr(trial._trial_id, _GENERATION, optimizer.generation)
        point = optimizer.ask()
        return {name: values.at(float(place)) for (name, values), place in zip(self._space.items(), point, strict=True)}

    def _optimizer(self, study: optuna.Study, digest: str) -> Any:
        import cmaes  # type: ignore[import-untyped]

        size = len(self._space)
        bounds = np.tile([0.0, 1.0], (size, 1))
        optimizer = cmaes.CMA(mean=np.full(size, 0.5), sigma=SIGMA, bounds=bounds, seed=int(digest[:7], 16))
        done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        while True:
            told = [t for t in done if t.system_attrs.get(_GENERATION) == optimizer.generation]
            if len(told) < optimizer.population_size:
                return optimizer
            optimizer.tell([(self._place(t.params), -float(t.values[0])) for t in told[: optimizer.population_size]])

    def _place(self, params: Params) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.array([values.place(params[name]) for name, values in self._space.items()])

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A choice, at random."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)


SAMPLERS: dict[str, Callable[[Space, int], optuna.samplers.BaseSampler]] = {
    GRID: lambda space, seed: optuna.samplers.RandomSampler(seed=seed),
    "random": lambda space, seed: optuna.samplers.RandomSampler(seed=seed),
    "tpe": _tpe,
    "cmaes": CmaEs,
    "gp": _gp,
}
NAMES: Sequence[str] = tuple(SAMPLERS)
