"""Programs that are started, killed and started again, with all processes that belong to them."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class Program:
    """A command in a session of its own, started again as often as it is needed.

    Args:
        command: Its words.
        log: File that gets what it prints.
        variables: Its environment.
    """

    def __init__(self, command: Sequence[str], log: Path, variables: Mapping[str, str]) -> None:
        self.command, self.log, self._variables = command, log, variables
        self.process: subprocess.Popen[bytes] | None = None
        self._before = 0  # bytes of the log when it was last started

    def start(self) -> None:
        """Start it."""
        with self.log.open("ab") as log:
            self._before = log.tell()
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, env=self._variables, cwd=ROOT, start_new_session=True
            )

    def has_said(self, words: str) -> bool:
        """Whether it has printed these words since its last start."""
        with self.log.open("rb") as log:
            log.seek(self._before)
            return words.encode() in log.read()

    @property
    def status(self) -> int | None:
        """Its exit status; None: it goes on. To be asked of one that was started."""
        assert self.process is not None
        return self.process.poll()

    @property
    def alive(self) -> bool:
        """Whether it was started and goes on."""
        return self.process is not None and self.status is None

    def processes(self) -> dict[int, str]:
        """All processes of its session, and their command lines."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, ValueError):
                state, *numbers = (folder / "stat").read_text().rpartition(")")[2].split()
                if self.process is not None and int(numbers[2]) == self.process.pid and state != "Z":
                    words = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                    found[int(folder.name)] = words.decode(errors="replace").strip()
        return dict(sorted(found.items()))

    def send(self, number: signal.Signals) -> None:
        """Send a signal to all its processes."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """Kill all its processes; those that are begun meanwhile, too."""
        while self.process is not None and self.processes():
            self.send(signal.SIGKILL)
            time.sleep(0.05)
            self.process.poll()
