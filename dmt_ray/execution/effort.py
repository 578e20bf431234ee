"""How much work stages are, in one unit for all operations, so that progress can be shown as one bar."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from dmt_ray.config import Training
from dmt_ray.plan import Stage

if TYPE_CHECKING:
    from dmt_ray.execution.runner import Runner

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
    """Measures stages of one sweep.

    Args:
        runner: Opens the data that the amount of work depends on.
    """

    def __init__(self, runner: "Runner") -> None:
        self._work = Work(runner.work_of)
        self._known: dict[str, int] = {}

    def __call__(self, stage: Stage) -> int:
        """Forward passes of one image that a stage amounts to; a training step counts as three of its batch."""
        if stage.key not in self._known:
            training = getattr(stage.config, "training", None)
            images = BACKWARD * sum(training.batch) if isinstance(training, Training) else 1
            self._known[stage.key] = images * self._work(stage)
        return self._known[stage.key]
