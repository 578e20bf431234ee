"""What stages cost: their steps and images, one unit of work for all operations, and time and disk by experience."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from rich import filesize

from dmt_ray.execution.experience import Experience, Price
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
        seconds: Time in one process, by earlier stages that are like them; None: not known.
        bytes: Disk space, by earlier stages; None if there is no experience yet.
        rough: Whether the time goes beyond what was run here: it follows from bare steps, which leave out all but the
            trainings, or from stages of another length or kind.
    """

    stages: int
    work: dict[str, int]
    steps: int
    seconds: float | None
    bytes: int | None
    rough: bool = False

    def __str__(self) -> str:
        time = "time unknown (nothing similar has been run here yet)" if self.seconds is None else self.time()
        disk = "disk unknown" if self.bytes is None else f"{filesize.decimal(self.bytes)} of disk"
        return f"{counted(self.stages, 'stage')}, {counted(self.steps, 'optimizer step')}, {time}, {disk}"

    def time(self, share: float = 1.0) -> str:
        """A share of the seconds, which have to be known, for people."""
        return f"{'about ' * self.rough}{duration((self.seconds or 0.0) * share)}"


ABOUT = 'times with "about" follow from a few timed steps, or from stages of another length or kind'
"""What is said once beside rough times."""
_ROUGH_TIME = re.compile(r"\babout \d+ (s|min|h)\b")


def footnote(texts: Iterable[str]) -> str:
    """What is to be said below some texts: `ABOUT` if one of them has a rough time, else nothing."""
    return ABOUT if any(map(_ROUGH_TIME.search, texts)) else ""


class Estimator:
    """Estimates stages that are to be computed. The store's records are read once, for the first estimate.

    Args:
        store: Its records say how long stages took, and how large they were.
        work_of: Steps or images of a stage.
        bare: Seconds of a bare step of a training, for where the store has no experience; None: it has to do.
    """

    def __init__(
        self,
        store: Store,
        work_of: Callable[[Stage], int],
        bare: Callable[[Stage], float] | None = None,
    ) -> None:
        self._store = store
        self._work_of = work_of
        self._bare = bare
        self._experience: Experience | None = None
        self._known: dict[tuple[object, ...], Price] = {}

    def __call__(self, stages: Sequence[Stage]) -> Estimate:
        """The cost of these stages."""
        work = Counter[str]()
        steps = 0
        seconds = size = 0.0
        unknown = no_size = rough = False
        for stage, times in Counter(
            stages
        ).items():  # of trials that are not known, the same ones stand a thousand times
            amount, price = self._work_of(stage), self._price(stage)
            work[stage.operation.name] += times * amount
            steps += times * amount * stage.config.trains
            seconds += times * (price.seconds or 0.0)
            size += times * (price.bytes or 0.0)
            unknown |= price.seconds is None
            no_size |= price.bytes is None
            rough |= price.rough
        # Beside trainings whose steps were timed, what nothing is known of counts as nothing.
        unknown &= self._bare is None or not steps
        known, space = None if unknown else seconds, None if no_size else int(size)
        return Estimate(len(stages), dict(work), steps, known, space, rough)

    def _price(self, stage: Stage) -> Price:
        self._experience = self._experience or Experience(self._store)
        same = (*cost_settings(stage), self._experience.network(stage))
        if same not in self._known:
            bare = self._bare if isinstance(stage.config, TrainingSlice) else None
            timed = None if bare is None else partial(bare, stage)
            self._known[same] = self._experience.price(stage, self._work_of(stage), timed)
        return self._known[same]


def duration(seconds: float) -> str:
    """A time for people: 8 s, 3 min 20 s, 2 h 05 min."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
