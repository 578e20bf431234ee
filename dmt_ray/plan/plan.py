"""A plan is an expression: operations applied to stages. Calling an operation does no work, and equal work is equal."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from dmt_ray.config import Model, Side
from dmt_ray.plan.key import key_of
from dmt_ray.plan.slice import Slice


@dataclass(frozen=True)
class Operation:
    """A verb of the vocabulary. Its revision is raised when the same settings would give other numbers."""

    name: str
    revision: int


@dataclass(frozen=True, eq=False)
class Stage:
    """One piece of work, described and not done: an operation on settings, a seed and the results of other stages."""

    operation: Operation
    config: Slice
    seed: int
    inputs: Mapping[str, "Stage"] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """Identity of the work, 20 hex digits; the same in every process."""
        return key_of(
            {
                "operation": self.operation.name,
                "revision": self.operation.revision,
                "config": self.config.identity(),
                "seed": self.seed,
                "inputs": {name: stage.key for name, stage in self.inputs.items()},
            }
        )

    @property
    def name(self) -> str:
        """Operation and key, as the store names its folder."""
        return f"{self.operation.name}-{self.key}"

    @property
    def side(self) -> Side:
        """The model that the stage is about; for a labelling, the teacher; A for what is about both."""
        return self.config.side_of(self.inputs)

    def origin(self, side: Side) -> "Stage | None":
        """The stage whose model of that side this one goes on with or looks at; None: there was no model before."""
        return self.config.origin(self.inputs, side)

    def networks(self) -> list[Model]:
        """The networks of the models that the stage is about."""
        return [self._network(side) for side in self.config.sides_of(self.inputs)]

    def _network(self, side: Side) -> Model:
        model, origin = self.config.new_model(), self.origin(side)
        if model is None:
            assert origin is not None, f"{self} has neither a network of its own nor another stage's"
            return origin._network(side)
        return model

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stage) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"<{self.name}>"


Rung = Mapping[str, Stage]


@dataclass(frozen=True)
class Plan:
    """A method on its settings: the rungs (iterations) at which it can be scored.

    Attributes:
        rungs: For each rung the evaluations of its models by name, "A" and, where there are two, "B". Rung 0 is the
            state before any pseudo label, where the method has one.
    """

    rungs: tuple[Rung, ...]

    def __init__(self, rungs: Iterable[Mapping[Any, Stage]]) -> None:
        object.__setattr__(self, "rungs", tuple(dict(rung) for rung in rungs))

    def stages(self) -> list[Stage]:
        """All stages, each once, inputs before what needs them."""
        return in_order(stage for rung in self.rungs for stage in rung.values())

    def explain(self, mark: Mapping[Stage, str] | None = None) -> str:
        """The plan in words: what each rung adds; behind a stage in `mark`, its mark."""
        mark = mark or {}
        seen: set[Stage] = set()
        lines = []
        for number, rung in enumerate(self.rungs):
            lines.append(f"rung {number}")
            for stage in in_order(rung.values()):
                if stage not in seen:
                    lines.append(f"  {describe(stage)}" + (f"  [{mark[stage]}]" if stage in mark else ""))
            seen.update(in_order(rung.values()))
        return "\n".join(lines)


def in_order(targets: Iterable[Stage]) -> list[Stage]:
    """The targets and everything they need, each once, inputs first; the order is that of first mention."""
    done: dict[Stage, None] = {}

    def visit(stage: Stage) -> None:
        if stage not in done:
            for needed in stage.inputs.values():
                visit(needed)
            done[stage] = None

    for target in targets:
        visit(target)
    return list(done)


def common_stages(plans: Sequence[Plan]) -> list[Stage]:
    """The stages that at least two of the plans have in common, inputs first."""
    times = Counter(stage for plan in plans for stage in plan.stages())
    return [stage for stage in in_order(times) if times[stage] > 1]


def waves(stages: Iterable[Stage]) -> Iterator[list[Stage]]:
    """Cut stages into waves: those of one wave do not depend on each other, only on earlier waves (or on the rest)."""
    left = list(dict.fromkeys(stages))
    while left:
        waiting = set(left)
        wave = [stage for stage in left if waiting.isdisjoint(in_order(stage.inputs.values()))]
        yield wave
        left = [stage for stage in left if stage not in set(wave)]


def describe(stage: Stage) -> str:
    """One line for a person: what is done, on what, from which stages."""
    inputs = ", ".join(f"{name} {needed.operation.name}-{needed.key[:8]}" for name, needed in stage.inputs.items())
    summary = str(stage.config)
    return f"{stage.operation.name}-{stage.key[:8]}  {summary}" + (f"  <- {inputs}" if inputs else "")
