"""Progress of the work: one bar with the time left, or occasional lines where there is no terminal.

The store says how things stand: which stages are there, and how far those are that have a lease. So one display follows
`dmt run`, an ablation and a sweep alike, wherever their workers are.
"""

import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dmt_ray.execution.cost import duration
from dmt_ray.plan import Stage
from dmt_ray.plan.words import counted
from dmt_ray.store import Running, Store

REFRESH_SECONDS = 1.0
QUIET_SECONDS = 30.0  # without a terminal: between two lines that only say that it goes on
NOT_KNOWN = "not known yet"  # how much time is left


class NotebookScreen:
    """A part of a notebook cell's output, drawn anew in place. It has what `Live` has, which needs widgets there."""

    def start(self) -> None:
        """Take a place in the output."""
        from IPython.display import display

        self._place = display(Padding("", 0), display_id=True)  # type: ignore[no-untyped-call]

    def update(self, renderable: RenderableType, *, refresh: bool = True) -> None:
        """Show something there."""
        self._place.update(Padding(renderable, 0))  # which, other than a group, is shown as HTML

    def stop(self) -> None:
        """Show nothing any more."""
        self.update("")


def _screen(console: Console) -> Live | NotebookScreen | None:
    """What can be drawn anew in place; None: lines are all there is."""
    if console.quiet:
        return None
    if console.is_jupyter:
        return NotebookScreen()
    return Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None


class _OnScreen:
    """A context manager that shows `_live`, where there is a terminal, while it is entered."""

    _live: "Live | NotebookScreen | None"

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()


class Counting(_OnScreen):
    """Follows work on things of different sizes, such as pictures, in this process; a context manager.

    Bar and time left go by the work that is done, also within a thing. Shown at most once a second, without a terminal
    every half minute; and at the end, where all has been gone through, once more.

    Args:
        console: Where to show it.
        what: What the things are, for people: "picture".
        work: Of each thing, in the order in which they are done, such as its pixels.
    """

    def __init__(self, console: Console, what: str, work: Sequence[float]) -> None:
        self._console, self._what, self._work = console, what, work
        self._total, self._count, self._done, self._partly, self._skipped = sum(work), 0, 0.0, 0.0, 0.0
        self._began = self._printed = 0.0
        self._drawn = float("-inf")
        self._live = _screen(console)
        self._entered = False

    def __enter__(self) -> Self:
        self._began = self._printed = time.monotonic()
        self._entered = True
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        if error[:1] == (None,):
            self._show(last=True)
        self._entered = False
        super().__exit__()

    def part(self, share: float) -> None:
        """Say how far the work on the next thing is, from 0 to 1; before and after all work it is of no consequence."""
        if self._entered and self._count < len(self._work):
            self._partly = share * self._work[self._count]
            self._show()

    def to(self, count: int) -> None:
        """Say how many are done."""
        self._done += sum(self._work[self._count : count])
        self._count, self._partly = count, 0.0
        self._show()

    def one_more(self) -> None:
        """Say that one more is done."""
        self.to(self._count + 1)

    def skip(self) -> None:
        """Say that the next thing is done, and that this tells nothing of how long others take."""
        self._skipped += self._work[self._count]
        self.to(self._count + 1)
        if self._done == self._skipped:
            self._began = time.monotonic()  # neither does the time until the first work

    def _show(self, *, last: bool = False) -> None:
        now, done = time.monotonic(), self._done + self._partly
        if self._live is not None and (last or now - self._drawn >= REFRESH_SECONDS):
            self._drawn, line = now, Table.grid(padding=(0, 2))
            bar = ProgressBar(total=self._total or 1.0, completed=done, width=40)
            line.add_row(bar, f"time left: {self._left(now, done)}")
            self._live.update(Group(Text(self._counts(done)), line), refresh=True)
        elif self._live is None and last and self._printed > self._began:  # as it has said how far it is before
            self._console.print(self._counts(done), markup=False, highlight=False, soft_wrap=True)
        elif self._live is None and now - self._printed > QUIET_SECONDS:
            self._printed, text = now, f"{self._counts(done)} | time left: {self._left(now, done)}"
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _counts(self, done: float) -> str:
        share = f", {100 * done / self._total:.0f} % of the pixels" if self._total else ""
        return f"{self._count:,} of {counted(len(self._work), self._what)}{share}"

    def _left(self, now: float, done: float) -> str:
        worked = done - self._skipped
        return _about((now - self._began) * (self._total - done) / worked) if worked else NOT_KNOWN


def _about(seconds: float) -> str:
    return f"about {duration(seconds)}"


class Progress(_OnScreen):
    """Follows stages through the store; a context manager.

    The time left follows from the work that was done since this session's first stage began, and from what is left.

    Args:
        console: Where to show it.
        store: Where the stages appear.
        cost: Work of a stage, in one unit for all operations.
        stages: What is to be done, inputs first.
        names: Stage -> what it is for, for people.
    """

    def __init__(
        self,
        console: Console,
        store: Store,
        cost: Callable[[Stage], float],
        stages: Iterable[Stage] = (),
        names: Mapping[Stage, str] | None = None,
    ) -> None:
        self.console, self.store, self.cost, self.names = console, store, cost, names or {}
        self._pending: dict[Hashable, dict[Stage, None]] = {}
        self._seen: set[Stage] = set()
        self._begun_at = time.time()
        self.later = 0.0  # work that is to be done and is not among the stages yet
        self._done = self._partly = self._left = 0.0
        self._drawn, self._began, self._printed = (time.monotonic(),) * 3
        self._live = _screen(console)
        self.expect(None, stages)
        self._total = len(self._pending[None])

    def expect(self, member: Hashable, stages: Iterable[Stage]) -> None:
        """Say what is to be done for a member, inputs first; members may have stages in common."""
        self._pending[member] = dict.fromkeys(stages)

    def pending(self, member: Hashable = None) -> dict[Stage, None]:
        """What is still to be done for a member, at the last look."""
        return self._pending.get(member, {})

    def drop(self, member: Hashable) -> None:
        """Nothing more is done for a member."""
        self._count(self._pending.pop(member))

    def came(self, stage: Stage) -> None:
        """A stage that was waited for is there; for those that want to know."""

    def failed(self, stage: Stage, reason: str) -> None:
        """A stage failed: neither it nor what needs it will come."""
        lost = {stage}
        for pending in self._pending.values():
            for other in list(pending):
                if other in lost or not lost.isdisjoint(other.inputs.values()):
                    lost.add(other)
                    del pending[other]
        self.console.print(f"failed: {self.names.get(stage, stage.name)}: {reason}", markup=False, highlight=False)

    def tick(self) -> None:
        """Look at the store and show how things stand, at most once a second."""
        now = time.monotonic()
        if now - self._drawn < REFRESH_SECONDS:
            return
        self._drawn = now
        leases = self._measure()
        if self._live is not None:
            done, line = self._done + self._partly, Table.grid(padding=(0, 2))
            bar = ProgressBar(total=done + self._left or 1, completed=done, width=40)
            line.add_row(bar, f"time left: {self.time_left()}")
            self._live.update(Group(self.headline(), line, *self.details(leases)), refresh=True)
        elif leases and self.is_quiet:
            self.print_line(self.now(leases, self._all_pending()))

    @property
    def is_quiet(self) -> bool:
        """Whether a line is due; never on a terminal, where the screen says it."""
        return self._live is None and time.monotonic() - self._printed > QUIET_SECONDS

    def print_line(self, text: str) -> None:
        """Print a line with counts and time left; nothing on a terminal."""
        if self._live is None:
            self._measure()
            self._printed = time.monotonic()
            line = f"{self.counts()} | {text} | time left: {self.time_left()}"
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def counts(self) -> str:
        """How far it is, in a word or two."""
        return f"{self._total - len(self.pending()):,} of {counted(self._total, 'stage')}"

    def headline(self) -> Text:
        """The first line of the screen."""
        return Text(self.counts())

    def details(self, leases: list[Running]) -> list[RenderableType]:
        """What the screen shows below the bar."""
        return [Text(self.now(leases, self._all_pending()))]

    def now(self, leases: list[Running], stages: Iterable[Stage]) -> str:
        """What is computed now of some stages, for people: "DMT, seed 0: finetune 20/400".

        What another process has computed since before this one began is waited for: whose it is stands behind it.
        """
        titles = {stage.key: f"{self.names[stage]}: " if stage in self.names else "" for stage in stages}
        return ", ".join(
            f"{titles[lease.key]}{lease.operation}{f' {lease.step:,}/{lease.steps:,}' if lease.steps else ''}"
            f"{f' (waiting: {lease.holder})' if lease.started < self._begun_at else ''}"
            for lease in leases
            if lease.key in titles
        )

    def time_left(self) -> str:
        """How long it may still take, by the pace of this session."""
        done, elapsed = self._done + self._partly, time.monotonic() - self._began
        return _about(elapsed * self._left / done) if done > 0 else NOT_KNOWN

    def _measure(self) -> list[Running]:
        for pending in self._pending.values():
            self._count(pending)
        leases = self.store.running()
        parts = {lease.key: lease.step / lease.steps for lease in leases if lease.steps}
        stages = self._all_pending()
        self._partly = sum(parts[stage.key] * self.cost(stage) for stage in stages if stage.key in parts)
        self._left = sum(map(self.cost, stages)) - self._partly + self.later
        if not self._done + self._partly:
            self._began = time.monotonic()  # before, workers were starting, which says nothing about the pace
        return leases

    def _all_pending(self) -> dict[Stage, None]:
        return {stage: None for pending in self._pending.values() for stage in pending}

    def _count(self, pending: dict[Stage, None]) -> None:
        for stage in list(pending):
            # A stage comes after its inputs: with hundreds of trials, to look for all that is missing takes too long.
            if pending.keys().isdisjoint(stage.inputs.values()) and self.store.has(stage):
                del pending[stage]
                if stage not in self._seen:
                    self._seen.add(stage)
                    self._done += self.cost(stage)
                    self.came(stage)
