"""What the user sees while an ablation runs: one bar with the time left, or a line now and then without a terminal."""

import time
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from dmt_ray.execution.cost import duration
from dmt_ray.plan import Stage
from dmt_ray.store import Store

REFRESH_SECONDS = 1.0
QUIET_SECONDS = 60.0  # between two lines where there is no terminal


class UnionProgress:
    """Follows stages through what it is told and through the store; a `performing.Watcher`, and a context manager.

    Args:
        store: Says how far running stages are.
        amounts: Stage -> its work; all that is to be done.
        names: Stage -> what it is for, for people.
        console: Where to show it.
    """

    def __init__(
        self, store: Store, amounts: Mapping[Stage, float], names: Mapping[Stage, str], console: Console
    ) -> None:
        self._store = store
        self._left = dict(amounts)
        self._names = names
        self._console = console
        self._total, self._stages = sum(amounts.values()), len(amounts)
        self._done = 0.0
        self._began: float | None = None
        self._drawn = self._said = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.completed:>3.0f} %"),
            BarColumn(),
            TextColumn("{task.description}"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("starting workers", total=100)

    def __enter__(self) -> "UnionProgress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def done(self, stages: Sequence[Stage]) -> None:
        """These stages are there."""
        self._done += self._take(stages)

    def failed(self, stage: Stage, why: str) -> None:
        """This stage failed."""
        self._take([stage])
        self._console.print(f"failed: {self._names.get(stage, stage.name)}: {why}", markup=False, highlight=False)

    def _take(self, stages: Iterable[Stage]) -> float:
        return sum(self._left.pop(stage, 0.0) for stage in stages)

    def tick(self) -> None:
        """Look at the store and show how things stand, at most once a second."""
        now = time.monotonic()
        if now - self._drawn < REFRESH_SECONDS:
            return
        self._drawn = now
        leases = {lease.key: lease for lease in self._store.running()}
        running = [(stage, leases[stage.key]) for stage in self._left if stage.key in leases]
        done = self._done + sum(self._left[stage] * lease.step / lease.steps for stage, lease in running if lease.steps)
        if not done:
            return
        if self._began is None:
            self._began = now  # before, workers were starting, which says nothing about the pace
            self._before = done
        left = (
            f"about {duration((now - self._began) * (self._total - done) / (done - self._before))} left"
            if done > self._before
            else "time left not known yet"
        )
        what = "; ".join(f"{self._names.get(stage, '')}: {stage.operation.name}" for stage, _ in running)
        counts = f"{self._stages - len(self._left)} of {self._stages} stages, {left}"
        if self._console.is_terminal:
            self._bar.update(self._task, completed=100 * done / self._total, description=f"{counts}  {what}")
        elif now - self._said > QUIET_SECONDS:
            self._said = now
            self._console.print(
                f"{done / self._total:.0%}, {counts}; {what}", markup=False, highlight=False, soft_wrap=True
            )
