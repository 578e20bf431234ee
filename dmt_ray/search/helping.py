"""What workers without a trial can do for the trials that still run, at the end of a search.

A trial of one worker performs its stages one after the other. Within a step some of them do not need each other: those
of model A and of model B, those of several seeds. While trials wait to be begun that costs nothing; when the last ones
run, most workers have nothing to do. One of them may then compute an evaluation that a trial needs for its step, with
all that the evaluation needs. It leases each stage as the trial would: the trial finds it done, or waits for it.
"""

import itertools
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from dmt_ray.experiments.sweep import Params, Sweep
from dmt_ray.plan import Stage, in_order

# To start a worker takes so long: it imports torch and opens the data. A step that is over sooner is not worth one.
START_SECONDS = 10.0


class Part(NamedTuple):
    """What a worker does for a trial.

    Attributes:
        number: The trial's number.
        step: The step that it is at.
        target: An evaluation of that step.
    """

    number: int
    step: int
    target: Stage


@dataclass
class _Trial:
    """A trial that runs: the step that it is at, and when it came there."""

    sweep: Sweep
    params: Params
    since: float
    step: int = 0

    @cached_property
    def steps(self) -> list[list[list[Stage]]]:
        """For each step, for each group of it, the evaluations that have no stage of the step in common.

        Where two have, the second worker would wait for the first one: only the first of them is named.
        """
        before, steps = set[Stage](), list[list[list[Stage]]]()
        for groups in self.sweep.steps(self.params):
            steps.append([])
            for group in groups:
                taken, apart = set[Stage](), list[Stage]()
                for target in (target for plan, rung in group for target in plan.targets(rung)):
                    own = {stage for stage in in_order([target]) if stage not in before}
                    if own.isdisjoint(taken):
                        apart.append(target)
                    taken |= own
                before |= taken
                steps[-1].append(apart)
        return steps

    @property
    def left(self) -> int:
        """Steps that it has not reported."""
        return len(self.steps) - self.step


class Helping:
    """Knows how far trials are, and gives away what can be done for them.

    Args:
        sweep: What the trials are about.
        has: Whether the store has a stage.
        clock: Seconds since some moment.
    """

    def __init__(self, sweep: Sweep, has: Callable[[Stage], bool], clock: Callable[[], float] = time.monotonic) -> None:
        self._sweep, self._has, self._clock = sweep, has, clock
        self._trials: dict[int, _Trial] = {}
        self._given: set[Stage] = set()

    @property
    def running(self) -> Collection[int]:
        """Numbers of the trials that run."""
        return self._trials.keys()

    def begun(self, number: int, params: Params) -> None:
        """A trial begins."""
        self._trials[number] = _Trial(self._sweep, params, self._clock())

    def scored(self, number: int, step: int) -> None:
        """A trial has reported a step; one whose worker was lost begins with the first one again."""
        trial = self._trials[number]
        trial.step, trial.since = step + 1, self._clock()

    def ended(self, number: int) -> None:
        """A trial runs no longer."""
        self._trials.pop(number, None)

    def give(self, workers: int) -> list[Part]:
        """What so many workers without a trial can do now.

        First one part of each trial, those first that have most steps before them, then a second one of each. A part
        is given away once: where the worker fails, the trial computes it itself, and says what is wrong.
        """
        if workers <= 0:
            return []
        now = self._clock()
        numbers = [number for number, trial in self._trials.items() if now - trial.since >= START_SECONDS]
        numbers.sort(key=lambda number: (-self._trials[number].left, number))
        given: list[Part] = []
        for part in itertools.chain(*itertools.zip_longest(*map(self._parts, numbers))):
            # Two trials may be at the same point.
            if part is not None and part.target not in self._given and len(given) < workers:
                self._given.add(part.target)
                given.append(part)
        return given

    def _parts(self, number: int) -> Iterator[Part]:
        """What a trial can do without: the last first, since it begins with the first."""
        trial = self._trials[number]
        for apart in itertools.chain(*trial.steps[trial.step :][:1]):
            missing = [target for target in apart if not self._has(target)]
            if missing:
                return (Part(number, trial.step, target) for target in missing[:0:-1])
        return iter(())
