"""What workers without a trial can do for the trials that still run, at the end of a search.

A trial of one worker performs its stages one after the other. Within a step many of them do not need each other: those
of model A and of model B, those of several seeds. While trials wait to be begun that costs nothing; when the last ones
run, most workers have nothing to do. One of them may then take the last evaluation that a trial needs for its step,
with all that this needs. It leases each stage as the trial would: the trial finds it done, or waits for it.
"""

import itertools
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from dmt_ray.experiments.sweep import Params, Scored, Sweep
from dmt_ray.plan import Stage


class Part(NamedTuple):
    """What a worker does for a trial.

    Attributes:
        number: The trial's number.
        rung: The rung that it is at.
        target: An evaluation of that rung.
    """

    number: int
    rung: int
    target: Stage


class Helping:
    """Knows how far trials are, and names what can be done for them.

    Args:
        sweep: What the trials are about.
        has: Whether the store has a stage.
    """

    def __init__(self, sweep: Sweep, has: Callable[[Stage], bool]) -> None:
        self._sweep, self._has = sweep, has
        self._steps: dict[int, list[list[list[Scored]]]] = {}  # of each running trial
        self._at: dict[int, int] = {}  # the step that it is at

    @property
    def running(self) -> Collection[int]:
        """Numbers of the trials that run."""
        return self._steps.keys()

    def begun(self, number: int, params: Params) -> None:
        """A trial begins."""
        self._steps[number], self._at[number] = self._sweep.steps(params), 0

    def scored(self, number: int, step: int) -> None:
        """A trial has reported a step; one whose worker was lost begins with the first one again."""
        self._at[number] = step + 1

    def ended(self, number: int) -> None:
        """A trial runs no longer."""
        self._steps.pop(number, None)

    def parts(self, taken: Collection[Part]) -> Iterator[Part]:
        """What can be done now: first one part of each trial, those first that have most before them, then the second.

        The trial itself begins at the front of what is missing, so the front is left to it.

        Args:
            taken: What workers do already.
        """
        trials = sorted(self._steps, key=lambda number: (self._at[number] - len(self._steps[number]), number))
        targets = {part.target for part in taken}
        for part in itertools.chain(*itertools.zip_longest(*(self._of(number) for number in trials))):
            if part is not None and part.target not in targets:  # two trials may be at the same point
                targets.add(part.target)
                yield part

    def _of(self, number: int) -> list[Part]:
        for group in itertools.chain(*self._steps[number][self._at[number] :][:1]):
            parts = [Part(number, rung, target) for plan, rung in group for target in plan.targets(rung)]
            if missing := [part for part in parts if not self._has(part.target)]:
                return missing[:0:-1]
        return []
