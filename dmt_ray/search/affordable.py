"""Random points of a space that keep a limit on their optimizer steps."""

import itertools
from collections.abc import Callable, Iterator

import optuna

from dmt_ray.errors import ConfigError
from dmt_ray.experiments.sweep import Sweep
from dmt_ray.methods.space import Params
from dmt_ray.search import samplers

DRAWN = 300  # random points, among which there has to be one within the limit


class Affordable:
    """Random points that take no more than a limit, always the same ones in the same order.

    Args:
        sweep: Whose space they are of.
        compute: Optimizer steps of a point, a seed.
        limit: That they keep.

    Raises:
        ConfigError: If none of `DRAWN` points does.
    """

    def __init__(self, sweep: Sweep, compute: Callable[[Params], float], limit: float) -> None:
        self._compute, self._limit, self._drawn = compute, limit, _at_random(sweep)
        self._last: Params | None = None
        self.draw()  # says within a moment that there is none

    def draw(self) -> Params:
        """The next one; the last one again where they are so rare that none of `DRAWN` keeps the limit."""
        least = float("inf")
        for params in itertools.islice(self._drawn, DRAWN):
            if (compute := self._compute(params)) <= self._limit:
                self._last = params
                return params
            least = min(least, compute)
        if self._last is not None:
            return self._last
        raise ConfigError(
            f"--limit compute={self._limit:g} leaves no point to try: of {DRAWN} random points the cheapest takes "
            f"{least:,.0f} optimizer steps a seed"
        )


def _at_random(sweep: Sweep) -> Iterator[Params]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=samplers.make("random", sweep.space, seed=0))
    while True:
        trial = study.ask()
        yield {name: samplers.suggested(trial, name, values, exact=False) for name, values in sweep.space.items()}
