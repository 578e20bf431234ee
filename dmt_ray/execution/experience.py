"""What stages have cost here: seconds and bytes by the records of earlier ones that are like them."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from dmt_ray.config import Model
from dmt_ray.plan import Slice, Stage
from dmt_ray.plan.key import canonical
from dmt_ray.plan.operations import slices
from dmt_ray.store import Store
from dmt_ray.store.record import Record

REACH = 2  # an amount of work beyond so many times that of earlier stages, or below the same part, is extrapolated
APART = 2  # ratio of two amounts of work that tell what a stage costs once from what each of its steps costs
FEW = 20  # steps: the time of trainings with fewer is mostly that of their start, and says little of long ones
TRAINING = ("batch", "precision", "score_every")  # what decides, beside the crop, what a step of a training costs
One = TypeVar("One")
WITHOUT_COST = ("encoder_weights", "weights_digest")  # of a network


@dataclass(frozen=True)
class Price:
    """What a stage is expected to cost.

    Attributes:
        seconds: In one process; None: not known.
        bytes: Of its files; None: not known.
        rough: Whether the seconds go beyond what was run: another length or kind of training, or bare steps.
    """

    seconds: float | None
    bytes: float | None
    rough: bool = False


@dataclass(frozen=True)
class Timing:
    """Seconds of a stage by its work: what it costs once, and what each step or image costs.

    Attributes:
        constant: Seconds of a stage that do not depend on its work, 0 or more.
        step: Seconds of a step or image.
        points: Work and median seconds of the stages that it follows from.
        split: Whether the two could be told apart; else `constant` is 0 and `step` has a share of it.
    """

    constant: float
    step: float
    points: Mapping[int, float]
    split: bool

    @classmethod
    def of(cls, seen: Iterable[tuple[int, float]]) -> "Timing":
        """The timing of some stages, each given by its work, 1 or more, and its seconds.

        The step is the median slope between stages of which one has at least twice the work of the other (Theil and
        Sen), so that a few slow stages do not matter.
        """
        by_work: dict[int, list[float]] = defaultdict(list)
        for work, seconds in seen:
            by_work[work].append(seconds)
        points = {work: statistics.median(group) for work, group in sorted(by_work.items())}
        slopes = [
            (points[more] - points[less]) / (more - less) for less in points for more in points if more >= APART * less
        ]
        if slopes and (step := statistics.median(slopes)) > 0:
            constant = statistics.median(seconds - step * work for work, seconds in points.items())
            if constant >= 0:
                return cls(constant, step, points, split=True)
        return cls(0.0, sum(points.values()) / sum(points), points, split=False)

    def reaches(self, work: int) -> bool:
        """Whether so much work is near what was seen; little of it is, too, where the constant part is known."""
        return (self.split or REACH * work >= min(self.points)) and work <= REACH * max(self.points)

    @property
    def tells_steps(self) -> bool:
        """Whether it says what a step costs, also in a training that is far longer."""
        return self.split and max(self.points) >= FEW

    def anchored(self, step: float) -> "Timing":
        """The same stages, of which each step takes no more than so many seconds, and the rest is the constant part."""
        step = min(step, self.step)
        rest = statistics.median(seconds - step * work for work, seconds in self.points.items())
        return Timing(max(0.0, rest), step, self.points, split=True)

    def seconds(self, work: int) -> float:
        """Of a stage."""
        return self.constant + self.step * work


class _Seen:
    """Work, seconds and bytes of some stages."""

    def __init__(self) -> None:
        self.times: list[tuple[int, float]] = []
        self.sizes: list[int] = []
        self._timing: Timing | None = None

    @property
    def timing(self) -> Timing:
        self._timing = self._timing or Timing.of(self.times)
        return self._timing

    @property
    def bytes(self) -> float:
        return statistics.median(self.sizes)


class Experience:
    """The stages in a store. Its records are read once.

    A stage is priced by those of its kind: the same operation on the same data, with the same network, batch and crop,
    and the same settings in `Slice.step_cost`.

    Args:
        store: Where they are.
    """

    def __init__(self, store: Store) -> None:
        self._kinds: dict[bytes, _Seen] = defaultdict(_Seen)
        self._operations: dict[tuple[str, str], _Seen] = defaultdict(_Seen)
        self._networks: dict[str, bytes] = {}
        known = slices()
        records = {record.key: record for record in store.records() if record.operation in known}
        networks: dict[str, bytes] = {}
        for record in records.values():
            work, seconds = record.made.get("steps"), record.made.get("seconds")
            if not isinstance(work, int) or work < 1 or not isinstance(seconds, int | float):
                continue
            slice_, data = known[record.operation], _fingerprint(record.config)
            network = _network_of(record, records, known, networks)
            for seen in (
                self._kinds[_kind(record.operation, record.config, network, slice_)],
                self._operations[record.operation, data],
            ):
                seen.times.append((work, float(seconds)))
                seen.sizes.append(sum(record.sizes.values()))

    def price(self, stage: Stage, work: int, bare: Callable[[], float] | None) -> Price:
        """What a stage costs.

        Args:
            stage: The stage.
            work: Its steps or images.
            bare: Times a bare step of its training; None: it is none, or nothing is timed.
        """
        config = stage.config.identity()
        alike = self._kinds.get(_kind(stage.operation.name, config, self.network(stage), type(stage.config)))
        others = self._operations.get((stage.operation.name, _fingerprint(config)))
        size = None if (nearest := alike or others) is None else nearest.bytes
        if alike is not None:
            timing, near = alike.timing, alike.timing.reaches(work)
            if not near and bare is not None and not timing.tells_steps:
                timing = timing.anchored(bare())
            return Price(timing.seconds(work), size, rough=not near)
        if bare is not None:
            return Price(bare() * work, size, rough=True)
        return Price(None if others is None else others.timing.seconds(work), size, rough=True)

    def network(self, stage: Stage) -> bytes:
        """What identifies the network that a stage is about, apart from its weights."""
        if stage.key not in self._networks:
            model, followed = stage.config.new_model(), _followed(stage.inputs, stage.config.follows)
            before = (self.network(one) for one in followed)
            self._networks[stage.key] = b" ".join(before) if model is None else _shape(model)
        return self._networks[stage.key]


def _network_of(
    record: Record, records: Mapping[str, Record], known: Mapping[str, type[Slice]], memo: dict[str, bytes]
) -> bytes:
    """The same of a record; "" where the stage is gone from which its network came."""
    if record.key not in memo:
        model, followed = record.config.get("model"), _followed(record.inputs, known[record.operation].follows)
        before = (_network_of(records[key], records, known, memo) if key in records else b"" for key in followed)
        memo[record.key] = _shape(model) if isinstance(model, Mapping) else b" ".join(before)
    return memo[record.key]


def _followed(inputs: Mapping[str, One], follows: str) -> list[One]:
    """The inputs from which the networks come: one, or those of a stage on models side by side."""
    return [inputs[follows]] if follows in inputs else [inputs[name] for name in sorted(inputs)]


def _shape(model: Model | Mapping[str, Any]) -> bytes:
    values = model.identity() if isinstance(model, Model) else model
    return canonical({name: value for name, value in values.items() if name not in WITHOUT_COST})


def _fingerprint(config: Mapping[str, Any]) -> str:
    return str(config.get("data", {}).get("fingerprint"))


def _kind(operation: str, config: Mapping[str, Any], network: bytes, slice_: type[Slice]) -> bytes:
    training = config.get("training", {})
    own = {name: training.get(name) for name in TRAINING} | {"crop": training.get("augment", {}).get("crop")}
    own |= {name: config[name] for name in slice_.step_cost if name in config}
    # A step on other data says nothing about these.
    return canonical([operation, _fingerprint(config), network.decode(), own])
