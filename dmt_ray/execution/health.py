"""Ends this process when it makes no progress: a hung process would hold its place, and whoever waits for it, for ever.

The watching is done by a child process, because the process itself may be stopped, may spin in C code that never lets
go of the interpreter, or may wait in a collective for a worker that is gone. This file is the child's program as well,
run by its path and without the packages around it: so it imports next to nothing.
"""

import os
import select
import signal
import sys
import time

if __name__ != "__main__":  # the child has no use for them
    import subprocess
    from contextlib import suppress

STALLED = "stalled.txt"  # in a stage's scratch folder: the reason, for whoever asks why its process was ended
SIGN_SECONDS = 1.0  # least time between two signs of life
TICK_SECONDS = 5.0  # after which the child looks whether its parent is still there
WRITE_SECONDS = 5.0  # that the child waits for a file system before it ends its parent without a word


class Watchdog:
    """A context manager that ends its own process with SIGKILL when `alive` was not called for too long.

    Nothing but SIGKILL ends a process that is stopped or that hangs in C code. It does not end one that waits in the
    kernel for a disk or a device: such a process ends as soon as that answers.

    Args:
        seconds: Longest time without a sign of life. Time in which the whole machine was suspended does not count.
        what: What is watched, for the reason.
        reason: File that says why the process was ended. An old one is removed on entry, its folder must exist.

    Raises:
        ValueError: If `seconds` is not above 0.
    """

    def __init__(self, seconds: float, what: str = "", reason: "os.PathLike[str] | None" = None) -> None:
        if not seconds > 0:
            raise ValueError(f"a watchdog needs a time above 0 s, but got {seconds}")
        self.seconds = seconds
        self._what = what
        self._reason = reason
        self._pause = min(SIGN_SECONDS, seconds / 4)
        self._told = time.monotonic()
        self._pipe = -1

    def __enter__(self) -> "Watchdog":
        if self._reason is not None:
            with suppress(FileNotFoundError):
                os.unlink(self._reason)
        ear, self._pipe = os.pipe()
        os.set_blocking(self._pipe, False)
        reason = "" if self._reason is None else os.path.abspath(self._reason)
        arguments = [str(os.getpid()), repr(float(self.seconds)), self._what, reason]
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-S", os.path.abspath(__file__), *arguments],
                stdin=ear,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,  # Ctrl-C in the terminal is not meant for it
            )
        except OSError:
            os.close(self._pipe)
            raise
        finally:
            os.close(ear)
        self._told = time.monotonic()
        return self

    def alive(self, where: str = "") -> None:
        """Give a sign of life; costs next to nothing, as most calls do nothing.

        Args:
            where: How far the work is, for the reason: "step 310 of 400".
        """
        now = time.monotonic()
        if now - self._told >= self._pause and self._pipe >= 0:
            self._told = now
            with suppress(OSError):  # the child does not keep up, or is gone: no reason to end the work
                os.write(self._pipe, where.encode()[:1000] + b"\n")

    def __exit__(self, *_: object) -> None:
        os.close(self._pipe)
        self._pipe = -1
        try:
            self._child.wait(timeout=WRITE_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


def _watch(parent: int, limit: float, what: str, reason: str) -> None:
    """The child: returns when the parent has ended or wants no more watching, and ends it when time is up."""
    tick, quiet, where = min(TICK_SECONDS, limit / 4), 0.0, ""
    while quiet < limit:
        before = time.monotonic()
        heard = select.select([0], [], [], min(tick, limit - quiet))[0]
        if os.getppid() != parent:
            return
        if heard:
            told = os.read(0, 65536)
            if not told:
                return
            quiet, where = 0.0, told.decode(errors="replace").splitlines()[-1]
        else:
            # Never more than this child slept itself: after a pause of the whole machine the parent gets its time.
            quiet += min(time.monotonic() - before, 2 * tick)
    if reason:
        _write(reason, " ".join(f"no progress for {limit:g} s in {what or 'this process'} {where}".split()) + "\n")
    if os.getppid() == parent:
        os.kill(parent, signal.SIGKILL)


def _write(path: str, text: str) -> None:
    # By a process of its own: if the file system hangs, which may be why the parent does, the parent is still ended.
    writer = os.fork()
    if not writer:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os._exit(0)
    end = time.monotonic() + WRITE_SECONDS
    while time.monotonic() < end and not os.waitpid(writer, os.WNOHANG)[0]:
        time.sleep(0.05)


if __name__ == "__main__":
    _watch(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3], sys.argv[4])
