"""What stages cost: their steps and images, one unit of work for all operations, and time and disk by experience."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

from rich import filesize

from dmt_ray.plan import Stage, TrainingSlice
from dmt_ray.plan.words import counted
from dmt_ray.store import Store

BACKWARD = 3  # a training step costs about three forward passes


def cost_settings(stage: Stage) -> tuple[object, ...]:
    """What decides how much work a stage is: its operation, and its settings but those in `Slice.without_work`."""
    read = (value for name, value in stage.config if name not in stage.config.without_work)
    return (stage.operation.name, *read)


class Work:
    """Optimizer steps of a training, images of labelling, evaluation and the like.

    To measure a stage the images are divided anew, which takes milliseconds, and a thousand trials have 28,000 stages:
    those that agree in `cost_settings` are measured once.

    Args:
        work_of: Measures a stage.
    """

    def __init__(self, work_of: Callable[[Stage], int]) -> None:
        self._work_of = work_of
        self._known: dict[tuple[object, ...], int] = {}

    def __call__(self, stage: Stage) -> int:
        """The work of a stage."""
        same = cost_settings(stage)
        if same not in self._known:
            self._known[same] = self._work_of(stage)
        return self._known[same]


class Effort:
    """Forward passes of one image that a stage amounts to, so that progress can be shown as one bar.

    Args:
        work_of: Measures a stage in its own unit, as `Runner.work_of` does.
    """

    def __init__(self, work_of: Callable[[Stage], int]) -> None:
        self._work = Work(work_of)
        self._known: dict[str, int] = {}

    def __call__(self, stage: Stage) -> int:
        """Those of a stage; a training step counts as three of its batch."""
        if stage.key not in self._known:
            config = stage.config
            images = BACKWARD * sum(config.training.batch) if isinstance(config, TrainingSlice) else 1
            self._known[stage.key] = images * self._work(stage)
        return self._known[stage.key]


@dataclass(frozen=True)
class Estimate:
    """The cost of some stages.

    Attributes:
        stages: How many there are.
        work: Their optimizer steps (trainings) and images (labelling, evaluation and the like), by operation.
        steps: Optimizer steps alone, summed over the models.
        seconds: Time in one process, by earlier stages of the same operation, or that of their trainings by bare steps
            that were timed; None where neither is known.
        bytes: Disk space, by earlier stages; None if there is no experience yet.
    """

    stages: int
    work: dict[str, int]
    steps: int
    seconds: float | None
    bytes: int | None

    def __str__(self) -> str:
        if self.seconds is None:
            time = "time unknown (nothing similar has been run here yet)"
        elif self.bytes is None:
            time = f"about {duration(self.seconds)}"
        else:
            time = duration(self.seconds)
        disk = "disk unknown" if self.bytes is None else f"{filesize.decimal(self.bytes)} of disk"
        return f"{counted(self.stages, 'stage')}, {counted(self.steps, 'optimizer step')}, {time}, {disk}"


ABOUT = 'times with "about" are estimated from a few timed steps'
"""What is said once beside estimates."""


class Estimator:
    """Estimates stages that are to be computed. The store's records are read once, for the first estimate.

    Args:
        store: Its records say how long a step of each operation took, and how large a stage was.
        work_of: Steps or images of a stage.
        bare: Seconds of the trainings among some stages, by bare steps, for where the store has no experience.
    """

    def __init__(
        self,
        store: Store,
        work_of: Callable[[Stage], int],
        bare: Callable[[Sequence[Stage]], float] | None = None,
    ) -> None:
        self._store = store
        self._work_of = work_of
        self._bare = bare
        self._rates: dict[frozenset[str], dict[str, tuple[float, float]]] = {}

    def __call__(self, stages: Sequence[Stage]) -> Estimate:
        """The cost of these stages."""
        work, number = Counter[str](), Counter[str]()
        steps = 0
        for stage in stages:
            amount = self._work_of(stage)
            work[stage.operation.name] += amount
            number[stage.operation.name] += 1
            steps += amount * stage.config.trains
        # A step on other data says nothing about these.
        family = frozenset(str(stage.config.data.fingerprint) for stage in stages)
        if family not in self._rates:
            self._rates[family] = _rates(self._store, family)
        rates = self._rates[family]
        if not work.keys() <= rates.keys():
            seconds = self._bare(stages) if self._bare is not None and steps else None
            return Estimate(len(stages), dict(work), steps, seconds, None)
        known = sum((rates[operation][0] * amount for operation, amount in work.items()), 0.0)
        space = sum(int(rates[operation][1] * count) for operation, count in number.items())
        return Estimate(len(stages), dict(work), steps, known, space)


def _rates(store: Store, family: Set[str]) -> dict[str, tuple[float, float]]:
    """Operation -> (median seconds a step, median bytes a stage), of stages on these data sets."""
    seconds, sizes = defaultdict(list), defaultdict(list)
    for record in store.records():
        steps = record.made.get("steps")
        if record.config.get("data", {}).get("fingerprint") in family and steps and "seconds" in record.made:
            seconds[record.operation].append(record.made["seconds"] / steps)
            sizes[record.operation].append(float(sum(record.sizes.values())))
    return {o: (statistics.median(seconds[o]), statistics.median(sizes[o])) for o in seconds}


def duration(seconds: float) -> str:
    """A time for people: 8 s, 3 min 20 s, 2 h 05 min."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
