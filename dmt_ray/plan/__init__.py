"""Plans are expressions: operations on settings and on each other's stages. Calling an operation does no work."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

from dmt_ray.config import SIDES, Config, Data, Model, Settings, Side, Split, Training, UniformWeight, Weight, neutral
from dmt_ray.plan.amounts import batch_sizes, steps
from dmt_ray.plan.files import EXAMPLES, HISTORY, MODEL, weights_of
from dmt_ray.plan.key import key_of


class Operation(NamedTuple):
    """One of the basic kinds of computation. Its revision is raised when it gives different results."""

    name: str
    revision: int


class ImageCounts(NamedTuple):
    """How many images a split has of each kind: all that the amount of work depends on beside the settings."""

    labelled: int
    unlabelled: int
    known: int  # unlabelled images whose true labels exist
    evaluated: int  # validation and test images together


class Evictable(NamedTuple):
    """Files that may be removed to free space, in this order. All others are small: tables and figures need them."""

    maps: tuple[str, ...] = ()  # of pixels
    weights: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()

    @property
    def large(self) -> tuple[str, ...]:
        """What only further computing reads."""
        return self.maps + self.weights


class Slice(Settings):
    """The settings that one operation reads: its part of a stage's key, and all that the engine is given.

    A subclass answers for its operation whatever a runner, a table or a figure needs to know; nobody compares names of
    operations. The defaults are those of a stage that looks at a model and trains none.
    """

    operation: ClassVar[Operation]
    trains: ClassVar[bool] = False  # whether the work is optimizer steps, see `TrainingSlice`
    joint: ClassVar[bool] = False  # models side by side: inputs, files and columns are named after their sides
    chooses: ClassVar[bool] = False  # whether the result is the model of an input, chosen by what others have scored
    follows: ClassVar[str] = ""  # the input whose model the stage goes on with or looks at
    writes: ClassVar[tuple[str, ...]] = ()  # files by which readers of results recognise what they can read
    evictable: ClassVar[Evictable] = Evictable()
    without_work: ClassVar[frozenset[str]] = frozenset()  # settings that leave the number of steps and images alone
    # Settings, beside data, network, batch and crop, that decide how long a step or an image takes.
    step_cost: ClassVar[frozenset[str]] = frozenset()

    data: Data
    split: Split
    # Of the networks whose whole images the stage reads, if these are not padded to multiples of 32 (Model.padding).
    padding: tuple[tuple[int, int] | None, ...] = neutral(())

    @classmethod
    def stage(cls, cfg: Config, seed: int, inputs: "Mapping[str, Stage] | None" = None, **values: Any) -> "Stage":
        """A stage of the operation; what its slice has beside data and split are `values`."""
        config = cls(data=cfg.data, split=cfg.split.for_seed(seed), **values)
        stage = Stage(cls.operation, config, seed, inputs or {})
        padding = tuple(model.padding for model in config.padded(stage))
        return replace(stage, config=config.evolve(padding=padding)) if any(padding) else stage

    def padded(self, stage: "Stage") -> "Sequence[Model]":
        """The networks whose output for whole images, which are padded, goes into the result of this slice's stage."""
        return stage.networks()

    def work(self, images: ImageCounts) -> int:
        """Optimizer steps of a training, summed over its models; else the images that a stage goes over."""
        return images.unlabelled

    def new_model(self) -> Model | None:
        """The network that is trained from its initial weights, if there is one."""
        return None

    def keeps_average(self) -> bool:
        """Whether a moving average of the weights is kept, which is then what is scored."""
        return False

    def labelled_share(self) -> float:
        """The fraction of the unlabelled images that have labels after a stage that labels."""
        return 1.0

    def own_side(self) -> Side | None:
        """The side of the stage's model; None: that of the stage which it follows."""
        return "A" if self.joint or self.chooses else None

    def origin(self, inputs: "Mapping[str, Stage]", side: Side) -> "Stage | None":
        """See `Stage.origin`."""
        return inputs.get(side if self.joint else self.follows)


class TrainingSlice(Slice):
    """The slice of an operation that trains a model on labelled and pseudo-labelled images."""

    trains = True
    writes: ClassVar[tuple[str, ...]] = (HISTORY,)
    evictable = Evictable(weights=weights_of(MODEL), examples=(EXAMPLES,))

    training: Training

    def lists(self, images: ImageCounts) -> dict[str, int]:
        """How many images there are to learn from, ``labelled`` and ``pseudo``."""
        return {"labelled": images.labelled, "pseudo": images.unlabelled}

    def setting(self) -> str:
        """The setting that holds the training, for messages."""
        return self.operation.name

    def work(self, images: ImageCounts) -> int:
        """Optimizer steps."""
        return steps(self.training, **self.lists(images))

    def batch_sizes(self, images: ImageCounts) -> set[int]:
        """Numbers of images that a network in training mode is given at a time."""
        return batch_sizes(self.training, **self.lists(images))

    def keeps_average(self) -> bool:
        """Whether the training averages the weights."""
        return self.training.ema > 0

    def perturbs_features(self) -> bool:
        """Whether the training changes what a network's encoder gives to its decoder."""
        return False

    def padded(self, stage: "Stage") -> "Sequence[Model]":
        """Those that are scored on the way, or pad the crops themselves."""
        scored, crop = self.training.score_every is not None, self.training.augment.crop
        return [model for model in stage.networks() if scored or not model.takes(crop)]


class NewModelSlice(TrainingSlice):
    """The slice of an operation that trains a model from its initial weights."""

    model: Model
    side: Side

    def new_model(self) -> Model:
        """The network."""
        return self.model

    def own_side(self) -> Side:
        """The side of the model."""
        return self.side


def mixing_revision(training: Training, weight: Weight) -> dict[str, Any]:
    """What enters a key where mixup mixes weights that differ; at first each weighed its own label's cross-entropy."""
    return {"mixing": 2} if training.augment.mixup and not isinstance(weight, UniformWeight) else {}


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
        inputs = {name: stage.key for name, stage in self.inputs.items()}
        work = {"operation": self.operation.name, "revision": self.operation.revision, "seed": self.seed}
        return key_of(work | {"config": self.config.identity(), "inputs": inputs})

    @property
    def name(self) -> str:
        """Operation and key, as the store names its folder."""
        return f"{self.operation.name}-{self.key}"

    @property
    def side(self) -> Side:
        """The model that the stage is about; for a labelling, the teacher; A for what is about both."""
        return self.config.own_side() or self.inputs[self.config.follows].side

    def origin(self, side: Side) -> "Stage | None":
        """The stage whose model of that side this one goes on with or looks at; None: there was no model before."""
        return self.config.origin(self.inputs, side)

    def networks(self) -> list[Model]:
        """The networks of the models that the stage is about."""
        sides = [side for side in SIDES if side in self.inputs] if self.config.joint else [self.side]
        return [self._network(side) for side in sides]

    def _network(self, side: Side) -> Model:
        if model := self.config.new_model():
            return model
        origin = self.origin(side)
        assert origin is not None, f"{self} has neither a network of its own nor another stage's"
        return origin._network(side)

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
        ensemble: What scores the models of the last rung together, if that is wanted.
    """

    rungs: tuple[Rung, ...]
    ensemble: Stage | None

    def __init__(self, rungs: Iterable[Mapping[Any, Stage]], ensemble: Stage | None = None) -> None:
        object.__setattr__(self, "rungs", tuple(dict(rung) for rung in rungs))
        object.__setattr__(self, "ensemble", ensemble)

    def targets(self, rung: int | None = None) -> list[Stage]:
        """What is performed for the sake of its scores: at one rung, or at all of them."""
        rungs = self.rungs if rung is None else (self.rungs[rung],)
        last = rung is None or rung == len(self.rungs) - 1
        together = [self.ensemble] if self.ensemble is not None and last else []
        return [*(stage for models in rungs for stage in models.values()), *together]

    def stages(self) -> list[Stage]:
        """All stages, each once, inputs before what needs them."""
        return in_order(self.targets())

    def __repr__(self) -> str:
        return self.explain()

    def explain(self, mark: Mapping[Stage, str] | None = None) -> str:
        """The plan in words: what each rung adds; behind a stage in `mark`, its mark."""
        marks = {stage: f"  [{text}]" for stage, text in (mark or {}).items()}
        seen: set[Stage] = set()
        lines = []
        for number in range(len(self.rungs)):
            stages = in_order(self.targets(number))
            new = [f"  {describe(stage)}{marks.get(stage, '')}" for stage in stages if stage not in seen]
            lines += [f"rung {number}", *new]
            seen.update(stages)
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
    return f"{stage.operation.name}-{stage.key[:8]}  {stage.config}" + (f"  <- {inputs}" if inputs else "")
