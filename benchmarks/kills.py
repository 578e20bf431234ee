"""Whether a sweep and an ablation end with the same bytes when all that they need is killed and paused at random.

They run on two Ray nodes of this machine, with an MLflow server and an object store: once undisturbed, and once while
faults that are drawn from a seed strike the driver, the workers, the nodes and the servers. When the driver ends with
another status than 0, the same command is started again. In the end stages, tables, trials, MLflow and the object store
of both are compared.

    python benchmarks/kills.py --minutes 5 --seed 7
    python benchmarks/kills.py --minutes 5 --seed 8     # the undisturbed run is not repeated
    python benchmarks/kills.py --minutes 60 --work 10 --seed 7

What is computed is named by `--work`, in minutes that it may take undisturbed on an idle machine: five are five trials
and two seeds of the ablation on the toy data set. With faults it takes longer by far, so that ten may fill an hour.
An undisturbed run that was interrupted goes on when the same command is started again; one with faults starts over.
Where the undisturbed run takes longer than the minutes, as on a busy machine, the schedule is stretched by that factor.
Each command has its own stretch of the schedule, as long as it took undisturbed: both are struck, however long the
first one is held up.
The folder of a run has a log with a line for each event.
"""

import argparse
import json
import math
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from kills_machines import Machines
from kills_programs import Program
from kills_results import Results, read
from kills_schedule import Event, digest, schedule

from dmt_ray.cli.options import guarded
from dmt_ray.errors import ConfigError
from dmt_ray.execution.cluster import code_digest
from dmt_ray.files import write_text

HANG = 900.0  # seconds without a finished stage, times the factor by which the schedule is stretched
REST = 2.0  # seconds between the end of a driver and its next start
LAST_LINES = 2  # of what a driver said that failed
RESULTS = "results.json"  # in the folder of a run that came to its end
PROGRESS = "progress.json"  # in the folder of a run: seconds so far, and when each command has ended


def main() -> int:
    """Run both and compare; 0 if nothing differs."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=5.0, help="how long faults strike (default: 5)")
    options.add_argument("--work", type=float, help="minutes of work (default: as many as faults strike)")
    options.add_argument("--seed", type=int, default=0, help="seed of the schedule (default: 0)")
    options.add_argument("--storage", type=Path, default=Path("runs/kills"), help="folder (default: runs/kills)")
    chosen = options.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):  # a shell may have switched Ctrl-C off; nothing is to be left behind
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    work = chosen.minutes if chosen.work is None else chosen.work
    for name, minutes in (("minutes", chosen.minutes), ("work", work)):
        if not 1 <= minutes < math.inf:
            raise ConfigError(f"--{name} must be 1 or more, but got {minutes:g}")
    storage = chosen.storage.absolute()
    folder = storage / f"{chosen.minutes:g}min-work{work:g}-seed{chosen.seed}"
    if folder.exists():
        raise ConfigError(f"{folder} exists: remove it to repeat this run, or choose another --seed")
    calm = storage / f"work{work:g}-undisturbed-{code_digest()[:8]}"
    undisturbed(calm, work)
    return disturbed(folder, calm, work, chosen.minutes, chosen.seed)


def commands(work: float) -> list[list[str]]:
    """The sweep and the ablation: a grid without pruning, whose trials do not depend on the order in which they end."""
    rounds = "[1.0]" if work < 3 else "[0.5,1.0]"
    small = ["--set", "pretrain.epochs=8", "--set", f"percentiles={rounds}", "--max-concurrent", "2"]
    rows = ["DST"] if work < 3 else ["DST", "DMT"]
    seeds = map(str, range(max(1, round(work / 2))))
    return [
        ["sweep", "gamma_sweep", "--set", "weight.gamma2=0.5", "--grid", str(max(2, round(work))), *small],
        ["ablate", "components", "--rows", *rows, "--seeds", *seeds, *small],
    ]


class Log:
    """A line for each event, with the seconds since the first one, on the screen and in a file."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file, self._began = file, time.monotonic()

    def __call__(self, text: str) -> None:
        """Write a line."""
        line = f"{time.monotonic() - self._began:8.1f} s  {text}"
        print(line, flush=True)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


@dataclass
class Course:
    """How a run went.

    Attributes:
        struck: What was struck, and how often.
        missed: Faults that found nothing to strike.
        restarts: Starts of a driver beyond the first of each command.
        ends: When each command ended, in seconds since the first start of a driver; while a run was interrupted no time
            passes.
    """

    struck: Counter[str] = field(default_factory=Counter)
    missed: int = 0
    restarts: int = 0
    ends: list[float] = field(default_factory=list)


def undisturbed(folder: Path, work: float) -> None:
    """Compute everything without a fault, or what is left of it, unless that was done before."""
    if (folder / RESULTS).exists():
        return
    log = Log(folder / "log.txt")
    log(f"undisturbed, with the work of {work:g} minutes")
    if before := _stages(folder / "storage"):
        log(f"{before} stages were finished when it was interrupted")
    results, course = _run(folder, work, [], 1.0, [], log)
    if course.restarts:
        raise SystemExit(f"the undisturbed run failed: see {folder}")
    log(f"undisturbed: {course.ends[-1]:.0f} s, {len(results.stages)} stages")


def disturbed(folder: Path, calm: Path, work: float, minutes: float, seed: int) -> int:
    """Compute everything while faults strike, and compare; 0 if nothing differs."""
    events, reference = schedule(seed, minutes), json.loads((calm / RESULTS).read_text())
    calm_seconds, planned = reference["ends"][-1], 60 * minutes
    factor = max(1.0, calm_seconds / planned)
    ends = [end * max(1.0, planned / calm_seconds) for end in reference["ends"]]
    log = Log(folder / "log.txt")
    log(f"seed {seed}, {minutes:g} min: schedule {digest(events)}, always the same for these two")
    for number, event in enumerate(events):
        log(f"planned: event {number} at {event.at:.1f} s: {event}")
    if factor > 1:
        log(f"the undisturbed run took {calm_seconds:.0f} s: these times are multiplied by {factor:.2f}")
    results, course = _run(folder, work, events, factor, ends, log)
    lines = Results(**reference["results"]).differences(results)
    for line in lines:
        log(f"DIFFERENT: {line}")
    log(sentence(seed, minutes, course, len(results.stages), lines))
    return 1 if lines else 0


def _run(
    folder: Path, work: float, events: Sequence[Event], factor: float, ends: Sequence[float], log: Log
) -> tuple[Results, Course]:
    """Compute everything in a folder, and read what is left in the end."""
    with Machines(folder) as machines:
        log("two nodes, MLflow and the object store are up")
        course = Run(machines, folder, log, events, factor, ends).perform(commands(work))
        results = read(folder / "storage", machines.url, machines.tracking)
    text = json.dumps({"ends": course.ends, "results": asdict(results)})
    (folder / RESULTS).write_text(text, encoding="utf-8")
    return results, course


class Run:
    """Keeps the drivers going, and has the faults strike.

    Args:
        machines: What the drivers use.
        folder: Gets the storage folder, and what each driver says.
        log: Gets a line for each.
        events: The faults.
        factor: By which their times are multiplied.
        ends: When each command's part of the schedule ends, in seconds; none without faults.
    """

    def __init__(
        self,
        machines: Machines,
        folder: Path,
        log: Log,
        events: Sequence[Event] = (),
        factor: float = 1.0,
        ends: Sequence[float] = (),
    ) -> None:
        self._machines, self._folder, self._log = machines, folder, log
        self._left, self._factor, self._ends = list(events), factor, ends
        self._most_starts = 3 * len(events) + 10
        self._course = Course()
        self._before, self._course.ends = _progress(folder)
        self._began = self._command_began = time.monotonic()

    def perform(self, commands: Sequence[Sequence[str]]) -> Course:
        """Run the commands one after the other, each as often as it takes to end with status 0.

        Raises:
            SystemExit: If they do not come to an end.
        """
        self._began = time.monotonic()
        for command in commands[len(self._course.ends) :]:
            starts, self._command_began = 0, time.monotonic()
            while self._status(command, starts) != 0:
                starts += 1
                self._course.restarts += 1
                if self._course.restarts > self._most_starts:
                    raise SystemExit(f"after {self._most_starts} restarts the work is not done: see {self._folder}")
                self._wait(REST)
                # Without a cluster the next start would only say that there is none.
                self._until(lambda: self._machines.has_cluster, "the cluster")
            self._course.ends.append(self._seconds)
            self._note()
            self._drop_what_is_late()
        self._until(lambda: self._machines.whole, "all that was struck")
        return self._course

    @property
    def _seconds(self) -> float:
        """Seconds that the work has taken, without those between an interruption and the next start."""
        return self._before + time.monotonic() - self._began

    @property
    def _clock(self) -> float:
        """Seconds of the schedule: it stands still at the end of a command's part until the next command begins."""
        done = len(self._course.ends)
        now = time.monotonic() - self._command_began + (self._ends[done - 1] if done and self._ends else 0.0)
        return min(now, self._ends[done]) if done < len(self._ends) - 1 else now

    def _drop_what_is_late(self) -> None:
        """Leave out the faults of the command that has ended."""
        done = len(self._course.ends)
        end = self._ends[done - 1] if done < len(self._ends) else math.inf
        while self._left and self._left[0].at * self._factor < end:
            self._log(f"not needed any more: {self._left.pop(0)}")

    def _note(self) -> None:
        text = json.dumps({"seconds": self._seconds, "ends": self._course.ends})
        write_text(self._folder / PROGRESS, text)

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + HANG
        while not condition():
            if time.monotonic() > end:
                raise SystemExit(f"{what} does not come up again in {HANG:g} s: see {self._folder / 'logs'}")
            self._wait(1.0)

    def _status(self, command: Sequence[str], restarts: int) -> int:
        """Run a driver to its end while faults strike; its exit status."""
        storage = ["--storage", str(self._folder / "storage")]
        said = self._folder / "logs" / f"{command[0]}-{restarts}.txt"
        words = [sys.executable, "-m", "dmt_ray.cli", *command, *storage, *self._machines.options]
        driver = Program(words, said, self._machines.variables)
        driver.start()
        self._log(f"{command[0]}: start {restarts + 1}")
        stages, changed = 0, time.monotonic()
        try:
            while driver.alive:
                self._wait(0.2, driver)
                if (now := _stages(self._folder / "storage")) != stages:
                    stages, changed = now, time.monotonic()
                    self._note()
                if time.monotonic() - changed > HANG * self._factor:
                    raise SystemExit(f"{command[0]} hangs with {stages} stages finished: see {said}")
        finally:
            driver.kill()
        status = driver.status
        assert status is not None
        done = f"{command[0]}: status {status} with {_stages(self._folder / 'storage')} stages finished"
        lines = [line for line in said.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        self._log(done if status == 0 else f"{done}; it said last: {' | '.join(lines[-LAST_LINES:])}")
        return status

    def _wait(self, seconds: float, driver: Program | None = None) -> None:
        """Let time pass, and what is due happen."""
        end = time.monotonic() + seconds
        while True:
            for text in self._machines.tend():
                self._log(text)
            while self._left and self._clock >= self._left[0].at * self._factor:
                event = self._left.pop(0)
                what = self._machines.strike(event, driver)
                if what is None:
                    self._course.missed += 1
                    self._log(f"{event}: there is none now")
                else:
                    self._course.struck[event.target] += 1
                    self._log(f"{event}: {what}")
            if time.monotonic() >= end:
                return
            time.sleep(0.1)


def _progress(folder: Path) -> tuple[float, list[float]]:
    """Seconds that the work in a folder has taken, and after how many each command ended."""
    if not (folder / PROGRESS).exists():
        return 0.0, []
    noted = json.loads((folder / PROGRESS).read_text(encoding="utf-8"))
    return noted["seconds"], noted["ends"]


def _stages(storage: Path) -> int:
    return sum(1 for _ in storage.glob("stages/*/*/record.json"))


def sentence(seed: int, minutes: float, course: Course, stages: int, differences: Sequence[str]) -> str:
    """What came of it, in one line."""
    kinds = ", ".join(f"{number} {target}" for target, number in course.struck.items())
    parts = {line.partition(":")[0] for line in differences}
    same = f"{', '.join(sorted(parts))} DIFFERENT" if parts else "all byte-identical, tables identical"
    events = f"{course.struck.total()} events ({kinds}), {course.missed} that found nothing to strike"
    return f"seed {seed}: {minutes:g} min, {events}, {course.restarts} restarts, {stages} stages, {same}"


if __name__ == "__main__":
    raise SystemExit(guarded(main))
