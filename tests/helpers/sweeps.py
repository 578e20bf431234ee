"""Real sweeps for tests: a script in a process of its own, over a few small pictures."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Container, Iterator
from pathlib import Path

import pandas as pd

from dmt_ray.experiments import experiment_file
from dmt_ray.experiments.sweep import Sweep, Trial
from dmt_ray.experiments.trials import read_trials
from dmt_ray.plan import in_order
from dmt_ray.store import Running, Store
from tests.helpers.paths import ROOT

MARK = "DMT_RAY_TEST_SWEEP"  # in the environment of all processes of a sweep, also of Ray's


def marked(mark: str) -> list[int]:
    """All processes that were started with this mark in their environment, or by one that was."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def described(pids: list[int]) -> list[str]:
    """What processes are, for the message of a test that finds some left."""
    found = []
    for pid in pids:
        with contextlib.suppress(OSError):
            folder = Path("/proc") / str(pid)
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            state, parent = (folder / "stat").read_text().rpartition(") ")[2].split()[:2]
            found.append(f"{pid} of {parent}, state {state}: {words}")
    return found


def kill_marked(mark: str) -> None:
    """Kill all of them, whatever they do."""
    for pid in marked(mark):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class RunningSweep:
    """A sweep that was started, and all that belongs to it.

    Args:
        storage: Folder of its results.
        words: The command, without the interpreter and --storage.
    """

    def __init__(self, storage: Path, *words: str | Path) -> None:
        self.storage = storage
        self.store = Store(storage)
        self.mark = uuid.uuid4().hex
        self.process = subprocess.Popen(
            [sys.executable, *map(str, words), "--storage", str(storage)],
            cwd=ROOT,
            env=os.environ | {MARK: self.mark},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self, seconds: float = 500) -> str:
        """Wait for its end; what it said."""
        try:
            return self.process.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            self.end()
            raise

    def end(self) -> None:
        """Kill all its processes, whatever they do."""
        self.process.kill()
        kill_marked(self.mark)
        self.process.wait()
        self.process.stdout.close()

    def processes(self) -> list[int]:
        """All its processes that are there."""
        return marked(self.mark)

    def at_work(self, operation: str, *, but: Container[str] = (), seconds: float = 300) -> Running:
        """Wait until a worker is in the middle of a stage of this operation; its lease.

        Args:
            operation: As in "finetune".
            but: Keys of stages that do not count.
            seconds: After which it is given up.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.process.poll() is None, self.process.communicate()[0]
            for lease in self.store.running():
                if lease.operation == operation and lease.step and lease.key not in but:
                    return lease
            time.sleep(0.02)
        raise AssertionError(f"no worker came to {operation}")

    @property
    def folders(self) -> list[Path]:
        return sorted(path.parent for path in self.storage.glob("sweeps/*/experiment.json"))

    @property
    def folder(self) -> Path:
        (folder,) = self.folders
        return folder

    @property
    def sweep(self) -> Sweep:
        return experiment_file.read(self.folder).sweep

    def trials(self) -> list[Trial]:
        return read_trials(self.folder, self.sweep.name)

    def scores(self) -> pd.DataFrame:
        """trials.csv, less who computed how much of what all share."""
        return pd.read_csv(self.folder / "trials.csv").drop(columns="executed_stages")

    def digests(self) -> dict[str, object]:
        """What the store holds: the bytes of every stage."""
        return {record.key: record.files for record in self.store.records()}

    def needed(self) -> set[str]:
        """Keys of the stages of all trials."""
        plans = [plan for trial in self.trials() for plan in self.sweep.plans(trial.params).values()]
        return {stage.key for plan in plans for stage in in_order(s for rung in plan.rungs for s in rung.values())}

    def left_behind(self) -> list[str]:
        """What should not be there after the end."""
        end = time.monotonic() + 20
        while self.processes() and time.monotonic() < end:
            time.sleep(0.1)
        names = [f"process {pid}" for pid in self.processes()]
        for place in ("leases", "staging"):
            names += [f"{place}/{path.name}" for path in (self.storage / place).glob("*")]
        # Of a stage that is not there yet, it is what the next start goes on from.
        there = {f"{record.operation}-{record.key}" for record in self.store.records()}
        names += [f"scratch/{path.name}" for path in (self.storage / "scratch").glob("*") if path.name in there]
        return names + [f"doing/{path.name}" for path in (self.folder / "doing").glob("*")]


@contextlib.contextmanager
def started(storage: Path, *words: str | Path) -> Iterator[RunningSweep]:
    """A sweep that is started, and of which nothing is left when the block ends."""
    sweep = RunningSweep(storage, *words)
    try:
        yield sweep
    finally:
        sweep.end()
