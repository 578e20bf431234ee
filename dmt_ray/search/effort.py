"""How much work stages are, in one unit for all operations, so that progress can be shown as one bar."""

from typing import TYPE_CHECKING

from dmt_ray.config import Training
from dmt_ray.plan import Stage

if TYPE_CHECKING:
    from dmt_ray.runner import Runner

BACKWARD = 3  # a training step costs about three forward passes


class Effort:
    """Measures stages of one sweep.

    Args:
        runner: Opens the data that the amount of work depends on.
    """

    def __init__(self, runner: "Runner") -> None:
        self._runner = runner
        self._known: dict[str, int] = {}

    def __call__(self, stage: Stage) -> int:
        """Forward passes of one image that a stage amounts to; a training step counts as three of its batch."""
        if stage.key not in self._known:
            training = getattr(stage.config, "training", None)
            images = BACKWARD * sum(training.batch) if isinstance(training, Training) else 1
            self._known[stage.key] = images * self._runner.work_of(stage)
        return self._known[stage.key]
