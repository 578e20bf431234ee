"""Counts what is done while files are read."""

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called with (done, total)."""


class Steps:
    """Progress over a number of steps that becomes known bit by bit."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._done, self._total = progress, 0, total

    def expect(self, more: int) -> None:
        """Adds steps that are still to be done."""
        self._total += more

    def one_more(self) -> None:
        """Says that one more step is done."""
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total)
