"""What the user sees while a sweep runs: one screen, or a line now and then where there is no terminal."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dmt_ray.execution.cost import duration
from dmt_ray.execution.effort import Effort
from dmt_ray.experiments.sweep import State, Sweep, Trial, in_words, short
from dmt_ray.methods.space import Params, as_text
from dmt_ray.plan import Stage
from dmt_ray.store import Running, Store

REFRESH_SECONDS = 1.0
# Between two plain lines that only say that a rung is done; the end of a trial is always said.
QUIET_SECONDS = 5.0
# Lines of the screen above and below the running trials, of which as many are shown as there is room for.
AROUND = 7
# Without a line for so long, one says what is being computed.
SILENCE_SECONDS = 60.0


@dataclass
class _Line:
    """A trial that runs now."""

    params: Params
    missing: dict[Stage, None]  # in the order of the plan, inputs first
    last: int  # its last step
    step: int | None = None
    score: float | None = None


@dataclass
class _Work:
    """Image passes of this session."""

    done: float = 0.0
    partly: float = 0.0
    left: float = 0.0
    seen: set[str] = field(default_factory=set)


class Progress:
    """Follows a sweep through its events and through the store; a `tuning.Watcher`.

    Args:
        sweep: The sweep.
        store: Where its stages appear.
        effort: Measures stages.
        console: Where to show it.
        trials: What earlier starts have finished.
        total: Trials in all.
    """

    def __init__(
        self, sweep: Sweep, store: Store, effort: Effort, console: Console, trials: Iterable[Trial], total: int
    ) -> None:
        self.sweep = sweep
        self.store = store
        self.effort = effort
        self.console = console
        self.total = total
        self._name = sweep.score_name
        self.states: dict[int, State] = {}
        self.best: tuple[float, int, Params] | None = None
        for trial in trials:
            if trial.state in ("complete", "pruned"):
                self.states[trial.number] = trial.state
                self._rank(trial.number, trial.params, trial.score if trial.state == "complete" else None)
        self._common = sweep.common()
        typical = [stage for plan in sweep.plans(sweep.middle()).values() for stage in plan.stages()]
        self._one_trial = sum(map(effort, set(typical) - set(self._common)))
        self._shared = dict.fromkeys(store.missing(self._common))
        self._running: dict[int, _Line] = {}
        self._work = _Work()
        self._began = self._drawn = self._said = time.monotonic()
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def __enter__(self) -> "Progress":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def begun(self, number: int, params: Params) -> None:
        """A trial begins."""
        plans = list(self.sweep.plans(params).values())
        missing = self.store.missing(stage for plan in plans for rung in plan.rungs for stage in rung.values())
        steps = len(plans) if self.sweep.seed_by_seed else len(plans[0].rungs)
        self._running[number] = _Line(params, dict.fromkeys(missing), steps - 1)
        self.states[number] = "running"

    def scored(self, number: int, step: int, score: float) -> None:
        """A trial finished a step."""
        line = self._running[number]
        line.step, line.score = step, score
        now = time.monotonic()
        if self._live is None and step < line.last and now - self._said > QUIET_SECONDS:
            at = f"seed {step + 1} of {line.last + 1}" if self.sweep.seed_by_seed else f"rung {step} of {line.last}"
            self._say(f"trial {number}: {at}, {self._name} {score:.2%}, {in_words(line.params)}")

    def ended(self, number: int, state: State) -> None:
        """A trial ends."""
        line = self._running.pop(number)
        self._count(line.missing)
        self.states[number] = state
        self._rank(number, line.params, line.score if state == "complete" else None)
        if self._live is None:
            score = "" if line.score is None else f", {self._name} {line.score:.2%}"
            self._say(f"trial {number} {state}{score}, {in_words(line.params)}")

    def tick(self) -> None:
        """Look at the store and show how things stand, at most once a second."""
        now = time.monotonic()
        if now - self._drawn < REFRESH_SECONDS:
            return
        self._drawn = now
        leases = self._measure()
        if self._live is not None:
            self._live.update(self._screen(leases), refresh=True)
        elif now - self._said > SILENCE_SECONDS and leases:
            self._say(", ".join(map(_step, leases)))

    def _measure(self) -> list[Running]:
        self._count(self._shared)
        for line in self._running.values():
            self._count(line.missing)
        leases = self.store.running()
        parts = {lease.key: lease.step / lease.steps for lease in leases if lease.steps}
        pending = {stage for line in self._running.values() for stage in line.missing} | self._shared.keys()
        begun = sum(parts.get(stage.key, 0.0) * self.effort(stage) for stage in pending)
        waiting = max(0, self.total - len(self.states))
        self._work.left = sum(map(self.effort, pending)) - begun + waiting * self._one_trial
        self._work.partly = begun
        if not self._work.done + begun:
            self._began = time.monotonic()  # before, workers were starting, which says nothing about the pace
        return leases

    def _count(self, missing: dict[Stage, None]) -> None:
        for stage in list(missing):
            # A stage comes after its inputs: with hundreds of trials, to ask for all that is missing takes too long.
            if missing.keys().isdisjoint(stage.inputs.values()) and self.store.has(stage):
                del missing[stage]
                if stage.key not in self._work.seen:
                    self._work.seen.add(stage.key)
                    self._work.done += self.effort(stage)

    def eta(self) -> str:
        """How long it may still take, by the pace of this session."""
        done, elapsed = self._work.done + self._work.partly, time.monotonic() - self._began
        if done <= 0:
            return "not known yet"
        return f"about {duration(elapsed * self._work.left / done)}"

    def _rank(self, number: int, params: Params, score: float | None) -> None:
        if score is not None and (self.best is None or score > self.best[0]):
            self.best = (score, number, params)

    def _say(self, text: str) -> None:
        self._measure()
        self._said = time.monotonic()
        self.console.print(f"{self._counts()} | {text} | time left {self.eta()}", highlight=False, soft_wrap=True)

    def _counts(self) -> str:
        ended = sum(state != "running" for state in self.states.values())
        return f"[{ended}/{self.total}]".replace("[", r"\[")

    def _screen(self, leases: list[Running]) -> Group:
        states = list(self.states.values())
        counts = ", ".join(
            f"{states.count(state)} {state}" for state in ("complete", "pruned", "failed", "running") if state in states
        )
        header = Text.assemble(
            (self.sweep.name, "bold"), f"  {counts or 'shared stages first'}, of {self.total} trials"
        )
        done = self._work.done + self._work.partly
        line = Table.grid(padding=(0, 2))
        line.add_row(
            ProgressBar(total=done + self._work.left or 1, completed=done, width=40), f"time left: {self.eta()}"
        )
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for title in (
            "trial",
            *map(short, self.sweep.space),
            "seed" if self.sweep.seed_by_seed else "rung",
            self._name,
            "now",
        ):
            table.add_column(title, justify="left" if title == "now" else "right")
        blank = [""] * len(self.sweep.space)
        if self._shared and not self._running:
            table.add_row("shared", *blank, "", "", self._now(leases, {stage.key for stage in self._common}))
        fitting = max(1, self.console.size.height - AROUND)
        for number, trial in sorted(self._running.items())[:fitting]:
            table.add_row(
                str(number),
                *(as_text(trial.params[setting]) for setting in self.sweep.space),
                self._place(trial),
                "" if trial.score is None else f"{trial.score:.2%}",
                self._now(leases, {stage.key for stage in trial.missing}),
            )
        parts: list[Text | Table] = [header, line, table]
        if len(self._running) > fitting:
            parts.append(Text(f"and {len(self._running) - fitting} further trials", style="dim"))
        if self.best is not None:
            score, number, params = self.best
            parts.append(
                Text(f"best so far: trial {number}, {self._name} {score:.2%}, {in_words(params)}", style="green")
            )
        return Group(*parts)

    def _place(self, line: _Line) -> str:
        """The rung or seed that a trial is at."""
        if self.sweep.seed_by_seed:
            return f"{1 if line.step is None else min(line.step + 2, line.last + 1)}/{line.last + 1}"
        return f"{0 if line.step is None else min(line.step + 1, line.last)}/{line.last}"

    def _now(self, leases: list[Running], keys: set[str]) -> str:
        return ", ".join(_step(lease) for lease in leases if lease.key in keys)


def _step(lease: Running) -> str:
    return f"{lease.operation} {lease.step}/{lease.steps}" if lease.steps else lease.operation
