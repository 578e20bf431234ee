"""What stages cost: their steps and images, one unit of work for all operations, and time and disk by experience."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass

from dmt_ray.config import Training
from dmt_ray.plan import Stage
from dmt_ray.store import Store

BACKWARD = 3  # a training step costs about three forward passes


class Work:
    """Steps or images of stages. Those that differ in `Slice.without_work` alone are measured once.

    To measure a stage the images are divided anew, which takes milliseconds; a thousand trials have 28,000 stages.

    Args:
        work_of: Measures a stage.
    """

    def __init__(self, work_of: Callable[[Stage], int]) -> None:
        self._work_of = work_of
        self._known: dict[tuple[object, ...], int] = {}

    def __call__(self, stage: Stage) -> int:
        """Optimizer steps of a training, images of labelling, evaluation and the like."""
        read = (value for name, value in stage.config if name not in stage.config.without_work)
        same = (stage.operation.name, *read)
        if same not in self._known:
            self._known[same] = self._work_of(stage)
        return self._known[same]


class Effort:
    """Measures stages in one unit for all operations, so that progress can be shown as one bar.

    Args:
        work_of: Measures a stage in its own unit, as `Runner.work_of` does.
    """

    def __init__(self, work_of: Callable[[Stage], int]) -> None:
        self._work = Work(work_of)
        self._known: dict[str, int] = {}

    def __call__(self, stage: Stage) -> int:
        """Forward passes of one image that a stage amounts to; a training step counts as three of its batch."""
        if stage.key not in self._known:
            training = getattr(stage.config, "training", None)
            images = BACKWARD * sum(training.batch) if isinstance(training, Training) else 1
            self._known[stage.key] = images * self._work(stage)
        return self._known[stage.key]


@dataclass(frozen=True)
class Estimate:
    """The cost of some stages.

    Attributes:
        stages: How many there are.
        work: Their optimizer steps (trainings) and images (labelling, evaluation and the like), by operation.
        steps: Optimizer steps alone, summed over the models.
        seconds: Time in one process, by earlier stages of the same operation; None if there is no experience yet.
        bytes: Disk space, likewise.
    """

    stages: int
    work: dict[str, int]
    steps: int
    seconds: float | None
    bytes: int | None

    def __str__(self) -> str:
        time = (
            "time unknown (nothing of the kind has been run here yet)"
            if self.seconds is None
            else duration(self.seconds)
        )
        disk = "disk unknown" if self.bytes is None else f"{size(self.bytes)} of disk"
        return f"{self.stages} stages, {self.steps:,} optimizer steps, {time}, {disk}"


def estimate(stages: Sequence[Stage], store: Store, work_of: Callable[[Stage], int]) -> Estimate:
    """Estimate stages that are to be computed, once; several times: `Estimator`."""
    return Estimator(store, work_of)(stages)


class Estimator:
    """Estimates stages that are to be computed. The store's records are read once, for the first estimate.

    Args:
        store: Its records say how long a step of each operation took, and how large a stage was.
        work_of: Steps or images of a stage.
    """

    def __init__(self, store: Store, work_of: Callable[[Stage], int]) -> None:
        self._store = store
        self._work_of = work_of
        self._rates: dict[frozenset[str], dict[str, tuple[float, float]]] = {}

    def __call__(self, stages: Sequence[Stage]) -> Estimate:
        """The cost of these stages."""
        work: dict[str, int] = defaultdict(int)
        number: dict[str, int] = defaultdict(int)
        steps = 0
        for stage in stages:
            amount = self._work_of(stage)
            work[stage.operation.name] += amount
            steps += amount * stage.config.trains
            number[stage.operation.name] += 1
        family = _family(stages)
        if family not in self._rates:
            self._rates[family] = _rates(self._store, family)
        rates = self._rates[family]
        known = bool(stages) and all(operation in rates for operation in work)
        return Estimate(
            stages=len(stages),
            work=dict(work),
            steps=steps,
            seconds=sum(rates[o][0] * amount for o, amount in work.items()) if known else (None if stages else 0.0),
            bytes=sum(int(rates[o][1] * n) for o, n in number.items()) if known else (None if stages else 0),
        )


def _family(stages: Iterable[Stage]) -> frozenset[str]:
    """Data sets of the stages: a step on other data says nothing about these."""
    return frozenset(str(stage.config.data.fingerprint) for stage in stages)


def _rates(store: Store, family: Set[str]) -> dict[str, tuple[float, float]]:
    """Operation -> (median seconds a step, median bytes a stage)."""
    seconds, sizes = defaultdict(list), defaultdict(list)
    for record in store.records():
        steps = record.made.get("steps")
        if record.config.get("data", {}).get("fingerprint") in family and steps and "seconds" in record.made:
            seconds[record.operation].append(record.made["seconds"] / steps)
            sizes[record.operation].append(float(sum(record.sizes.values())))
    return {o: (statistics.median(seconds[o]), statistics.median(sizes[o])) for o in seconds}


def duration(seconds: float) -> str:
    """A time for people: 8 s, 3 min 20 s, 2 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(count: float) -> str:
    """A number of bytes for people: 850 B, 1.5 MB, 2.0 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("unreachable")
