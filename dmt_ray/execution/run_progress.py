"""Progress of one `dmt run` with a time that is left, on one line of a terminal or a line now and then elsewhere."""

import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from dmt_ray.execution.cost import duration
from dmt_ray.plan import Stage

QUIET_SECONDS = 10.0  # between two lines where there is no terminal


class StageProgress:
    """Shows how far a list of stages is; a context manager.

    An image of labelling or evaluation costs about a third of one of training, and a step holds several: so that the
    time left is not far off, work is counted in images, a step as `batch` of them.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("", total=None)
        self._amounts: dict[Stage, float] = {}
        self._done: dict[Stage, float] = {}
        self._began = self._said = time.monotonic()

    def __enter__(self) -> "StageProgress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def expect(self, amounts: Mapping[Stage, float]) -> None:
        """Say what is going to be done, and how much work each stage is."""
        self._amounts = dict(amounts)
        self._bar.update(self._task, total=sum(amounts.values()))
        self._began = time.monotonic()

    def update(self, stage: Stage, step: int, steps: int) -> None:
        """A stage has done some of its steps."""
        self._done[stage] = self._amounts.get(stage, 0.0) * step / steps
        done, total = sum(self._done.values()), sum(self._amounts.values())
        what = f"{stage.operation.name} {step}/{steps}"
        self._bar.update(self._task, completed=done, description=what)
        now = time.monotonic()
        if not self._console.is_terminal and now - self._said > QUIET_SECONDS and done:
            left = (now - self._began) * (total - done) / done
            self._console.print(f"{done / total:.0%}, {what}, {duration(left)} left", highlight=False)
            self._said = now
