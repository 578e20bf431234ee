"""What a running sweep shows beside the progress bar and the time left: its trials, and the best one so far."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from dmt_ray.execution.progress import Progress
from dmt_ray.experiments.sweep import State, Sweep, Trial, in_words, short
from dmt_ray.methods.space import Params, as_text
from dmt_ray.plan import Stage
from dmt_ray.plan.words import counted
from dmt_ray.search.budget import Account
from dmt_ray.store import Running, Store

AROUND = 7  # lines of the screen above and below the running trials, of which as many are shown as there is room for


@dataclass
class _Line:
    """A trial that runs now."""

    params: Params
    last: int  # its last step
    step: int | None = None
    score: float | None = None


class SweepProgress(Progress):
    """Progress of a sweep.

    Args:
        console: Where to show it.
        store: Where its stages appear.
        cost: Work of a stage.
        sweep: The sweep.
        trials: What earlier starts have finished.
        total: Trials in all.
        on_end: Called when a trial has ended.
        account: What the sweep spends, where that matters.
    """

    def __init__(
        self,
        console: Console,
        store: Store,
        cost: Callable[[Stage], float],
        sweep: Sweep,
        trials: Iterable[Trial],
        total: int,
        on_end: Callable[[], None] = lambda: None,
        account: Account | None = None,
    ) -> None:
        self._common, self._account = sweep.common(), account
        super().__init__(console, store, cost, store.missing(self._common))
        self.sweep, self.total, self._on_end = sweep, total, on_end
        self.states: dict[int, State | Literal["paused"]] = {}
        self.best: tuple[float, int, Params] | None = None
        for trial in trials:
            if trial.state in ("complete", "pruned"):
                self.states[trial.number] = trial.state
                self._rank(trial.number, trial.params, trial.score if trial.state == "complete" else None)
        typical = {stage for plan in sweep.plans(sweep.middle()).values() for stage in plan.stages()}
        self._one_trial = sum(map(cost, typical.difference(self._common)))
        self._running: dict[int, _Line] = {}
        self._plan_later()

    def _plan_later(self) -> None:
        self.later = max(0, self.total - len(self.states)) * self._one_trial

    def came(self, stage: Stage) -> None:
        """A stage was computed, which costs."""
        if self._account is not None:
            self._account.came(stage)

    def tick(self) -> None:
        """Show how things stand, and see whether the budget is spent."""
        super().tick()
        if self._account is not None:
            self._account.tick()

    def begun(self, number: int, params: Params) -> None:
        """A trial begins."""
        plans = list(self.sweep.plans(params).values())
        self.expect(number, self.store.missing(stage for plan in plans for stage in plan.targets()))
        steps = len(plans) if self.sweep.seed_by_seed else len(plans[0].rungs)
        self._running[number] = _Line(params, steps - 1)
        self.states[number] = "running"
        self._plan_later()

    def scored(self, number: int, step: int, score: float) -> None:
        """A trial finished a step."""
        line = self._running[number]
        line.step, line.score = step, score
        if step < line.last and self.is_quiet:
            self.print_line(f"trial {number}: {self._at(line)}, {self._in_words(score)}, {in_words(line.params)}")

    def paused(self, number: int) -> None:
        """A trial makes room for others; what is left of it counts as work to be done."""
        line = self._running.pop(number)
        self.states[number] = "paused"
        self.print_line(f"trial {number} makes room for others after {self._at(line)}, {in_words(line.params)}")

    def ended(self, number: int, state: State) -> None:
        """A trial ends."""
        line = self._running.pop(number)
        self.drop(number)
        self.states[number] = state
        self._rank(number, line.params, line.score if state == "complete" else None)
        score = "" if line.score is None else f", {self._in_words(line.score)}"
        how = "interrupted" if state == "running" else state
        self.print_line(f"trial {number} {how}{score}, {in_words(line.params)}")
        self._on_end()

    def _rank(self, number: int, params: Params, score: float | None) -> None:
        if score is not None and (self.best is None or score > self.best[0]):
            self.best = (score, number, params)

    def _in_words(self, score: float) -> str:
        return f"{self.sweep.score_name} {score:.2%}"

    def counts(self) -> str:
        """Trials that have ended, of all."""
        return f"[{sum(state not in ('running', 'paused') for state in self.states.values()):,}/{self.total:,}]"

    def headline(self) -> Text:
        """The sweep's name, and how many trials are in which state."""
        states = list(self.states.values())
        known = [state for state in ("complete", "pruned", "failed", "running", "paused") if state in states]
        counts = ", ".join(f"{states.count(state):,} {state}" for state in known)
        return Text.assemble(
            (self.sweep.name, "bold"), f"  {counts or 'shared stages first'}, {counted(self.total, 'trial')} in total"
        )

    def details(self, leases: list[Running]) -> list[RenderableType]:
        """A row for each running trial that fits on the screen, and the best one so far."""
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        step = "seed" if self.sweep.seed_by_seed else "rung"
        for title in ("trial", *map(short, self.sweep.space), step, self.sweep.score_name, "now"):
            table.add_column(title, justify="left" if title == "now" else "right")
        if self.pending() and not self._running:
            table.add_row("shared", *[""] * len(self.sweep.space), "", "", self.now(leases, self._common))
        fitting = max(1, self.console.size.height - AROUND)
        for number, line in sorted(self._running.items())[:fitting]:
            table.add_row(
                str(number),
                *(as_text(line.params[setting]) for setting in self.sweep.space),
                self._place(line),
                "" if line.score is None else f"{line.score:.2%}",
                self.now(leases, self.pending(number)),
            )
        parts: list[RenderableType] = [table]
        if len(self._running) > fitting:
            parts.append(Text(f"and {counted(len(self._running) - fitting, 'more trial')}", style="dim"))
        if self.best is not None:
            score, number, params = self.best
            parts.append(Text(f"best so far: trial {number}, {self._in_words(score)}, {in_words(params)}", "green"))
        return parts

    def _at(self, line: _Line) -> str:
        """The last step that a trial has reported, for people."""
        step, last = line.step or 0, line.last
        return f"seed {step + 1} of {last + 1}" if self.sweep.seed_by_seed else f"rung {step} of {last}"

    def _place(self, line: _Line) -> str:
        """The rung, from 0 on, or the seed, from 1 on, that a trial is at."""
        at = 0 if line.step is None else min(line.step + 1, line.last)
        return f"{at + self.sweep.seed_by_seed}/{line.last + self.sweep.seed_by_seed}"
