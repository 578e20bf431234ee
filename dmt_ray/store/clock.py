"""What time it is for the files of a store: a network file system stamps them by the clock of its server."""

import os
import time
from pathlib import Path

from dmt_ray.store import files

_GOOD = 60.0  # seconds for which the difference between two clocks is taken to stay as it is
_JUMP = 1.0  # seconds by which the machine's own clock may drift before it counts as set anew


class FileClock:
    """The clock that stamps files in a folder.

    Whether a process is alive is read from the times of its files. Machines whose clocks are a minute apart would
    take each other for dead if each compared those times with its own clock.

    Args:
        staging: The folder; it need not exist.
    """

    def __init__(self, staging: Path) -> None:
        self._staging = staging
        self._measured: tuple[float, float, float] | None = None  # steady and wall seconds, and those of the files

    def now(self) -> float:
        """Seconds since 1970; those of this machine where nothing can be written."""
        steady, wall = time.monotonic(), time.time()
        if self._measured is None or self._is_old(steady - self._measured[0], wall - self._measured[1]):
            self._measured = steady, wall, self._measure()
        return self._measured[2] + steady - self._measured[0]

    @staticmethod
    def _is_old(steady: float, wall: float) -> bool:
        return steady >= _GOOD or abs(wall - steady) > _JUMP  # the steady clock stands still while a machine sleeps

    def _measure(self) -> float:
        draft = self._staging / files.staging_name("clock")
        try:
            self._staging.mkdir(parents=True, exist_ok=True)
            with draft.open("x") as file:
                return os.fstat(file.fileno()).st_mtime
        except OSError:
            return time.time()
        finally:
            files.discard(draft)
