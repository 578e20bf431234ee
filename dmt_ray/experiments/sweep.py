"""What a sweep is: a question, the settings that it keeps fixed, and the space that it searches."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dmt_ray.config import Config, Model
from dmt_ray.config.derived import DERIVED, METHOD, PAIR
from dmt_ray.errors import ConfigError
from dmt_ray.experiments.dimensions import AND, made, settings_of
from dmt_ray.methods import METHODS, Method, applicable, configure
from dmt_ray.methods.space import Choice, Dimension, Integer, Params, Space, Uniform, Value, as_text
from dmt_ray.plan import Plan, Stage
from dmt_ray.plan.key import key_of
from dmt_ray.plan.measures import MEASURES, Measure, measure_of

__all__ = ["Choice", "Dimension", "Integer", "Params", "Space", "State", "Sweep", "Trial", "Uniform", "Value", "short"]

State = Literal["running", "complete", "pruned", "failed"]
Scored = tuple[Plan, int]
"""A plan and the number of one of its rungs."""


@dataclass(frozen=True)
class Sweep:
    """One search: its question, what is fixed, what varies."""

    question: str  # the script's name, such as "gamma_sweep"
    title: str  # one sentence for people
    config: Config  # settings of the method, bound to their data
    method: str  # a name in `methods.METHODS`; of the recipe, where the method itself is searched
    # What is searched -> its values, as {"weight.gamma1": Uniform(0, 8)}: dotted settings, or names in
    # `config.derived.DERIVED`.
    space: Space
    seeds: tuple[int, ...]  # every trial is scored on all of them, so that trials are compared pair by pair
    known: tuple[Params, ...] = ()  # points that are tried first, each a value for everything in the space
    grid: int = 0  # values per range of an exhaustive grid, in place of a search; 0: a search
    attempt: int = 1  # counts up when the same search is begun afresh
    # Whether a trial goes through all rungs of a seed before the next one, and is pruned between seeds; else through
    # all seeds of a rung before the next one, and is pruned between rungs.
    seed_by_seed: bool = False
    # What is minimised beside the maximised score: optimizer steps of a trial's plan, summed over its models.
    second: Literal["", "compute"] = ""
    extra_metrics: tuple[str, ...] = ()  # names in `extra_metrics.EXTRA_METRICS` of what is shown beside the score
    # Name -> settings, as JSON values, of the networks whose pairs are searched, bound to the data.
    networks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        methods = [self.method]
        if METHOD in self.space:
            methods += [str(value) for value in self.space[METHOD].ends()]
        for method in methods:
            if method not in METHODS:
                raise ConfigError(f"there is no method {method!r}; known are: {', '.join(METHODS)}")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ConfigError(f"a sweep needs distinct seeds of 0 or more, but got {self.seeds}")
        if self.grid == 1 or self.grid < 0:
            raise ConfigError(f"a grid needs at least 2 values per setting, but got {self.grid}")
        for point in self.known:
            for setting, values in self.space.items():
                if not values.holds(point.get(setting)):
                    raise ConfigError(f"the known point {dict(point)} must lie in the space: {setting} {values}")
        self.plans({})  # which says whether the method is for such data
        low, high = ({stage for plan in corner.values() for stage in plan.stages()} for corner in self.corners())
        if low == high:
            raise ConfigError(
                f"{' and '.join(self.space)} change nothing here: the method {self.method!r} with the weight rule "
                f"{self.config.weight.rule!r} does not read them"
            )

    @property
    def name(self) -> str:
        """Name of the study, its folder and its MLflow experiment; the same question always has the same name."""
        fixed = self.config.identity()
        for setting in made(self.space):
            *parents, last = setting.split(".")
            place = fixed
            for parent in parents:
                place = place.get(parent, {})  # a part that has its neutral value is not there
            place.pop(last, None)
        identity = {
            "config": fixed,
            "method": self.method,
            "space": {setting: values.identity() for setting, values in self.space.items()},
            "seeds": list(self.seeds),
            "grid": self.grid,
            **({"seed_by_seed": True} if self.seed_by_seed else {}),
            **({"second": self.second} if self.second else {}),
            **(
                {"networks": [Model(**values).identity() for values in self.networks.values()]} if self.networks else {}
            ),
        }
        name = f"{self.question}-{self.config.recipe.replace('/', '-')}-{key_of(identity)[:8]}"
        return name if self.attempt == 1 else f"{name}-{self.attempt}"

    @property
    def measure(self) -> Measure:
        """What it maximises."""
        return measure_of(self.config.data)

    @property
    def score_name(self) -> str:
        """The same for people."""
        return MEASURES[self.measure]

    # ---- a point -------------------------------------------------------------------------------------------------

    def settings(self, params: Params) -> dict[str, Any]:
        """A point as plain settings, as `dmt run --set` takes them; the method is `method_of`."""
        settings = settings_of(self.config, params)
        for side, model in self._pair(params).items():
            settings[side] = model.model_dump(mode="json", exclude={"weights_digest", "channels", "padding"})
        return applicable(self._method(params), self.config, settings) if METHOD in self.space else settings

    def config_of(self, params: Params) -> Config:
        """The settings of the sweep with those of a point."""
        config = configure(self._method(params), self.config, self.settings(params))
        return config.evolve(**self._pair(params))  # with what binding has filled in

    def _pair(self, params: Params) -> dict[str, Model]:
        """The networks of a point by setting; none where pairs are not searched."""
        if PAIR not in params:
            return {}
        names = str(params[PAIR]).split(AND)
        return {side: Model(**self.networks[name]) for side, name in zip(("model", "model_b"), names, strict=True)}

    def method_of(self, params: Params) -> str:
        """The method of a point."""
        return str(params.get(METHOD, self.method))

    def _method(self, params: Params) -> Method:
        return METHODS[self.method_of(params)]

    def plans(self, params: Params) -> dict[int, Plan]:
        """The plan of a point for every seed."""
        config, method = self.config_of(params), self._method(params)
        return {seed: method(config, seed) for seed in self.seeds}

    def last_rung(self, params: Params) -> int:
        """The last rung of a point's plans. They are counted from 0: it is also the number of their iterations."""
        return len(self._method(params)(self.config_of(params), self.seeds[0]).rungs) - 1

    def steps(self, params: Params) -> list[list[list[Scored]]]:
        """A trial's work: its steps, after each of which it is scored and may be pruned.

        A step is a list of what is performed one after the other, each a rung of some plans; the step's score is that
        of the last of them. By rungs, a step is a rung of all seeds; seed by seed, it is all rungs of one seed.
        """
        plans = list(self.plans(params).values())
        if self.seed_by_seed:
            return [[[(plan, rung)] for rung in range(len(plan.rungs))] for plan in plans]
        return [[[(plan, rung) for plan in plans]] for rung in range(len(plans[0].rungs))]

    def steps_of(self, params: Params) -> int:
        """Number of steps of a trial."""
        return len(self.seeds) if self.seed_by_seed else self.last_rung(params) + 1

    def targets(self, params: Params, steps: int | None = None) -> list[Stage]:
        """The evaluations of the first steps of a trial, or of all."""
        return [
            evaluation
            for step in self.steps(params)[:steps]
            for group in step
            for plan, rung in group
            for evaluation in plan.targets(rung)
        ]

    # ---- the space -----------------------------------------------------------------------------------------------

    def corners(self) -> tuple[dict[int, Plan], dict[int, Plan]]:
        """The plans of two points that differ in everything that is searched.

        Raises:
            ConfigError: If the settings cannot take the values of one of them.
        """
        point = self._corner(0)
        try:
            low = self.plans(point)
            point = self._corner(-1)
            return low, self.plans(point)
        except ConfigError as error:
            problem = f"the search would try {in_words(point)}, which does not fit these settings: {error}"
            raise ConfigError(problem) from None

    def _corner(self, end: int) -> dict[str, Value]:
        return {setting: values.ends()[end] for setting, values in self.space.items()}

    def middle(self) -> dict[str, Value]:
        """The point in the middle, as a stand-in for those that are not known yet."""
        return {setting: values.middle() for setting, values in self.space.items()}

    def probes(self) -> list[Params]:
        """Points that together show what depends on what: two corners, each with every end of every dimension."""
        corners: list[Params] = [self._corner(0), self._corner(-1)]
        if all(isinstance(values, Uniform) and setting not in DERIVED for setting, values in self.space.items()):
            return corners  # they differ in every setting, and so in all that depends on one
        ends = [(setting, end) for setting, values in self.space.items() for end in values.ends()]
        probes = [*corners, *(() if self.grid else self.known)]
        probes += [{**corner, setting: end} for corner in corners for setting, end in ends]
        return [probe for i, probe in enumerate(probes) if probe not in probes[:i]]

    def common(self) -> list[Stage]:
        """The stages that all trials share, inputs first."""
        first, *others = [self.plans(probe) for probe in self.probes()]
        shared = set[Stage]().union(*(plan.stages() for plan in first.values()))
        for other in others:
            shared &= {stage for plan in other.values() for stage in plan.stages()}
        return [stage for plan in first.values() for stage in plan.stages() if stage in shared]

    def last_rungs(self) -> tuple[int, int]:
        """The last rung of the trials with the fewest rungs, and of those with the most."""
        found = set(map(self.last_rung, self.probes()))
        return min(found), max(found)

    def points(self) -> list[dict[str, Value]]:
        """The points to try first, in this order: the whole grid, or the known points."""
        if not self.grid:
            return [dict(point) for point in self.known]
        axes = [values.grid(self.grid) for values in self.space.values()]
        return [dict(zip(self.space, values, strict=True)) for values in itertools.product(*axes)]


@dataclass(frozen=True)
class Trial:
    """The outcome of one point of a sweep.

    Scores are in [0, 1], on the validation images, by step. A step is a rung, with the mean over seeds and models;
    where the sweep goes seed by seed it is the position of a seed, with the score of its last rung.
    """

    number: int  # counts up from 0, as in Optuna's study
    params: Params  # what is searched -> value
    state: State  # "running" also says: interrupted, and taken up by the next start
    scores: dict[int, float]
    error: str | None = None  # why it failed
    executed: tuple[str, ...] = ()  # keys of the stages that it computed itself; the others of its plans were reused
    seed_by_seed: bool = False  # whether steps are seeds
    compute: float | None = None  # optimizer steps, summed over models, mean over seeds, where they are minimised

    @property
    def score(self) -> float | None:
        """What a search maximises: the score of the last rung, or the mean over the seeds, as far as it has come."""
        return score_of(self.scores, self.seed_by_seed) if self.scores else None


def score_of(scores: Mapping[int, float], seed_by_seed: bool) -> float:
    """The score of a trial by those of its steps."""
    return sum(scores.values()) / len(scores) if seed_by_seed else scores[max(scores)]


def short(setting: str) -> str:
    """The last part of a dotted setting, as shown to people."""
    return setting.rpartition(".")[2]


def in_words(params: Params) -> str:
    """A point for people: "gamma1=5 gamma2=2.5"."""
    return " ".join(f"{short(setting)}={as_text(value)}" for setting, value in params.items())
