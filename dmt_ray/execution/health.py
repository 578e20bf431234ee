"""Ends this process when it makes no progress: a hung process would keep its place, and others waiting, for ever.

`faulthandler` does the watching, in a thread of C that needs no interpreter lock: it also ends a process that spins in
C code or waits in a collective for a worker that is gone, and it writes down where every thread was.
"""

import faulthandler
import os
import re
import time
from contextlib import suppress
from pathlib import Path

SIGN_SECONDS = 1.0  # least time between two signs of life
_NAME = "watchdog-{}.txt"  # by process: the workers of a group share the scratch folder of a stage
_TIMEOUT = "Timeout ("  # how faulthandler's dump begins
_FRAME = re.compile(r'File ".*/dmt_ray/(.+)", line (\d+) in (.+)')


class Watchdog:
    """A context manager that ends its own process when `alive` was not called for too long; one in a process at a time.

    A process that is stopped by SIGSTOP, or waits in the kernel for a disk or a device, ends as soon as it goes on.

    Args:
        seconds: Longest time without a sign of life.
        what: What is watched, for the reason: "finetune-ab12".
        folder: Where the reason is written; it must exist.

    Raises:
        ValueError: If `seconds` is not above 0.
    """

    def __init__(self, seconds: float, what: str, folder: Path) -> None:
        if not seconds > 0:
            raise ValueError(f"a watchdog needs a time above 0 s, but got {seconds}")
        self.seconds = seconds
        self._what = what
        self._path = folder / _NAME.format(os.getpid())
        self._pause = min(SIGN_SECONDS, seconds / 4)

    def __enter__(self) -> "Watchdog":
        self._file = self._path.open("w", encoding="utf-8")
        self._arm("")
        return self

    def alive(self, where: str = "") -> None:
        """Give a sign of life, and how far the work is: "step 310 of 400". Most calls do nothing, and cost nothing."""
        if time.monotonic() - self._armed >= self._pause:
            self._arm(where)

    def _arm(self, where: str) -> None:
        self._armed = time.monotonic()
        with suppress(OSError):  # a reason that cannot be written must not end the work
            self._file.seek(0)
            self._file.truncate()
            self._file.write(" ".join(f"no progress for {self.seconds:g} s in {self._what} {where}".split()) + "\n")
            self._file.flush()
        faulthandler.dump_traceback_later(self.seconds, exit=True, file=self._file)

    def __exit__(self, *_: object) -> None:
        faulthandler.cancel_dump_traceback_later()
        with suppress(OSError):
            self._file.close()
            self._path.unlink(missing_ok=True)


def take_reason(folder: Path) -> tuple[str, str] | None:
    """Why a watchdog has ended a process that worked in this folder, once: the reason is then removed.

    Returns:
        The reason in one line, with the innermost line of this package where the process hung; and the stacks of all
        its threads. None: no watchdog has ended one.
    """
    for path in sorted(folder.glob(_NAME.format("*"))):
        with suppress(OSError):
            reason, _, stacks = path.read_text(encoding="utf-8", errors="replace").partition("\n")
            if stacks.startswith(_TIMEOUT):  # else the process still works, or was ended by something else
                path.unlink()
                frame = _FRAME.search(stacks)
                return reason + ("" if frame is None else f", in {frame[3]} ({frame[1]}:{frame[2]})"), stacks
    return None
