"""At the end of a search trials take turns, step by step, so that those that begin last do not end long after others.

Trials differ in length: many are pruned after a few steps. If each went on to its end, a long one that begins last
would keep one worker busy while all others have nothing to do. Here a trial that has come further makes room for one
that has come less far, and goes on after it: all trials come to their last steps at about the same time.
"""

import time
from collections.abc import Callable

from dmt_ray.search.helping import START_SECONDS
from dmt_ray.search.study import Study


class Turns:
    """Says which trials make room for others.

    Args:
        study: The trials.
        room: Trials for which there is room at a time. They take turns once no more than so many are to be begun: those
            before are proposed when the ones before them have ended, as ever. 0: each goes on to its end.
        clock: Seconds since some moment.
    """

    def __init__(self, study: Study, room: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._study, self._room, self._clock = study, room, clock
        self._since: dict[int, float] = {}
        self._furthest: dict[int, int] = {}

    def begun(self, number: int) -> None:
        """A trial begins, or goes on."""
        self._since[number] = self._clock()

    def over(self, token: str, number: int, step: int) -> bool:
        """Whether a trial that has reported a step is paused there, for `Study.take` to hand it out again.

        Steps that it has reported before do not count, and neither do those that are over before another trial could
        have been started in its place.
        """
        now = self._clock()
        took, self._since[number] = now - self._since[number], now
        if step <= self._furthest.get(number, -1):
            return False
        self._furthest[number] = step
        if took < START_SECONDS or self._room == 0 or self._study.remaining > self._room:
            return False
        return self._study.pause(token, step)
