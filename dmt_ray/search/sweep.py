"""What a sweep is: a question, the settings that it holds fixed, and the space that it searches."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dmt_ray.config import Config, override
from dmt_ray.errors import ConfigError
from dmt_ray.key import key_of
from dmt_ray.methods import METHODS
from dmt_ray.plan import Plan, Stage, shared

State = Literal["running", "complete", "pruned", "failed"]
Params = Mapping[str, float]


@dataclass(frozen=True)
class Uniform:
    """A searched setting's range, both ends included.

    Attributes:
        low: Least value.
        high: Greatest value.
        step: Distance of the values that are tried; 0: any value. Round values are easy to pass on, and equal ones
            share their stages.
    """

    low: float
    high: float
    step: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ConfigError(f"a range needs a lower and a higher end, but got {self.low} to {self.high}")

    def grid(self, values: int) -> list[float]:
        """That many values at equal distances, both ends included."""
        return [round(self.low + (self.high - self.low) * i / (values - 1), 10) for i in range(values)]


@dataclass(frozen=True)
class Sweep:
    """One search: what is asked, what is fixed, what varies.

    Attributes:
        question: The script's name, such as "gamma_sweep".
        title: One sentence for people.
        config: Settings of the method, bound to their data.
        method: A name in `methods.METHODS`.
        space: Dotted setting -> its range, such as {"weight.gamma1": Uniform(0, 8)}.
        seeds: Every trial is scored on all of them, so that trials are compared pair by pair.
        known: Points that are tried first, each a value for every setting of the space.
        grid: Values per setting of an exhaustive grid, in place of a search; 0: a search.
        attempt: Counts up from 1 when the same search is begun afresh.
    """

    question: str
    title: str
    config: Config
    method: str
    space: Mapping[str, Uniform]
    seeds: tuple[int, ...]
    known: tuple[Params, ...] = ()
    grid: int = 0
    attempt: int = 1

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(f"there is no method {self.method!r}; known are: {', '.join(METHODS)}")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ConfigError(f"a sweep needs different seeds from 0 on, but got {self.seeds}")
        if self.grid == 1 or self.grid < 0:
            raise ConfigError(f"a grid needs at least 2 values per setting, but got {self.grid}")
        for point in self.known:
            for setting, values in self.space.items():
                if not values.low <= point.get(setting, math.nan) <= values.high:
                    raise ConfigError(
                        f"the known point {dict(point)} must lie in the space: {setting} from {values.low:g} to "
                        f"{values.high:g}"
                    )
        low, high = ({stage for plan in corner.values() for stage in plan.stages()} for corner in self.corners())
        if low == high:
            raise ConfigError(
                f"{' and '.join(self.space)} change nothing here: the method {self.method!r} with the weight rule "
                f"{self.config.weight.rule!r} does not read them"
            )

    @property
    def name(self) -> str:
        """Names the study, its folder and its experiment; the same whenever the same question is asked."""
        fixed = self.config.identity()
        for setting in self.space:
            *parents, last = setting.split(".")
            place = fixed
            for parent in parents:
                place = place[parent]
            place.pop(last, None)
        identity: dict[str, Any] = {
            "config": fixed,
            "method": self.method,
            "space": {setting: [v.low, v.high, v.step] for setting, v in self.space.items()},
            "seeds": list(self.seeds),
            "grid": self.grid,
        }
        name = f"{self.question}-{self.config.recipe.replace('/', '-')}-{key_of(identity)[:8]}"
        return name if self.attempt == 1 else f"{name}-{self.attempt}"

    def plans(self, params: Params) -> dict[int, Plan]:
        """The plan of a point for every seed."""
        config = override(self.config, params)
        return {seed: METHODS[self.method](config, seed) for seed in self.seeds}

    def corners(self) -> tuple[dict[int, Plan], dict[int, Plan]]:
        """The plans of two points that differ in every searched setting."""
        low = {setting: values.low for setting, values in self.space.items()}
        high = {setting: values.high for setting, values in self.space.items()}
        return self.plans(low), self.plans(high)

    def common(self) -> list[Stage]:
        """The stages that all trials share, inputs first."""
        low, high = self.corners()
        return shared([*low.values(), *high.values()])

    def rungs(self) -> int:
        """Number of rungs of every trial."""
        return len(self.corners()[0][self.seeds[0]].rungs)

    def points(self) -> list[dict[str, float]]:
        """What is tried first, in this order: the whole grid, or the known points."""
        if not self.grid:
            return [dict(point) for point in self.known]
        axes = [values.grid(self.grid) for values in self.space.values()]
        return [dict(zip(self.space, values, strict=True)) for values in itertools.product(*axes)]


@dataclass(frozen=True)
class Trial:
    """What became of one point of a sweep.

    Attributes:
        number: Counts up from 0, as in Optuna's study.
        params: Dotted setting -> value.
        state: "running" also says: interrupted, and taken up by the next start.
        scores: Rung -> selection mIoU in [0, 1], the mean over seeds and models.
        error: Why it failed.
        executed: Keys of the stages that this trial computed itself; the others of its plans were reused.
    """

    number: int
    params: dict[str, float]
    state: State
    scores: dict[int, float]
    error: str | None = None
    executed: tuple[str, ...] = ()

    @property
    def score(self) -> float | None:
        """The score of the last rung it reached, which is the one that a search maximises."""
        return self.scores[max(self.scores)] if self.scores else None


def short(setting: str) -> str:
    """The last word of a dotted setting, as people see it."""
    return setting.rpartition(".")[2]
