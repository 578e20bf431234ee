"""What went wrong in a sweep, and where: written down by the driver, and by workers for the case that they are lost.

`doing/<who>.json` says what a worker does now; a worker that ends in order takes its note away. `faults.jsonl` has a
line for every worker that was lost and for every trial that failed, also of earlier starts.
"""

import json
import os
import platform
import re
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from dmt_ray.execution.health import STALLED
from dmt_ray.files import write_text
from dmt_ray.plan import Stage
from dmt_ray.plan.operations import side_of

Kind = Literal["lost", "failed"]

_FILE = "faults.jsonl"
_REASON = 200  # characters of what Ray says


@dataclass(frozen=True)
class Doing:
    """What a worker does.

    Attributes:
        stage: Operation and key of the stage.
        what: Side and settings, for people.
        seed: The stage's seed.
        rung: Rung of the trial; None: a stage that all trials share, or one of an ablation.
        node: Host name.
        pid: The worker's process.
    """

    stage: str
    what: str
    seed: int
    rung: int | None
    node: str
    pid: int

    @classmethod
    def of(cls, stage: Stage, rung: int | None) -> "Doing":
        """This process is about to perform a stage."""
        side, text = side_of(stage), str(stage.config)
        return cls(
            stage.name,
            f"model {side}: {text.removeprefix(f'{side}: ')}",
            stage.seed,
            rung,
            platform.node(),
            os.getpid(),
        )

    @classmethod
    def from_json(cls, told: Any) -> "Doing | None":
        """What `asdict` made, or None if it is something else."""
        try:
            return cls(**told)
        except TypeError:
            return None

    def __str__(self) -> str:
        return self.told()

    def told(self, shared: str = "") -> str:
        """For people; `shared` says what a stage is that is wanted by more than one trial."""
        place = shared if self.rung is None else f"rung {self.rung}"
        return f"{self.stage} ({self.what}; seed {self.seed}{f', {place}' if place else ''})"


@dataclass(frozen=True)
class Fault:
    """Something that went wrong.

    Attributes:
        who: A trial's number, or the name of a stage that all trials share, or of one of an ablation.
        kind: "lost": a worker was lost, and its work given to another one, if the limit allows; "failed": that was
            the end of the trial.
        error: Why, in one line.
        doing: What the worker was doing, where that is known.
        node: Host name, where it is known.
        when: ISO 8601 in UTC.
    """

    who: int | str
    kind: Kind
    error: str
    doing: Doing | None
    node: str | None
    when: str


def note(folder: Path, who: int | str, doing: Doing, side: int = 0) -> None:
    """Say what this worker is about to do.

    Args:
        folder: The sweep's folder.
        who: A trial's number, or the name of the first of some stages that all trials share.
        doing: What it is.
        side: Of the trial's worker group; 0, too, where there is one worker.
    """
    file = _note(folder, who, side)
    with suppress(OSError):  # a notice that cannot be written must not end the trial
        write_text(file, json.dumps(asdict(doing)))


def noted(folder: Path, who: int | str, side: int = 0) -> Doing | None:
    """What a worker was doing when it was last heard of."""
    try:
        return Doing.from_json(json.loads(_note(folder, who, side).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def forget(folder: Path, who: int | str) -> None:
    """Take the notes away."""
    for side in (0, 1):
        with suppress(OSError):
            _note(folder, who, side).unlink(missing_ok=True)


def forget_all(folder: Path) -> None:
    """Take all notes away; to be called where no worker is at work."""
    shutil.rmtree(folder / "doing", ignore_errors=True)


def _note(folder: Path, who: int | str, side: int) -> Path:
    return folder / "doing" / f"{who}{'-second' * side}.json"


def write(folder: Path, who: int | str, kind: Kind, error: str, doing: Doing | None, node: str | None = None) -> None:
    """Write down that something went wrong now."""
    if node is None and doing is not None:
        node = doing.node
    fault = Fault(who, kind, error, doing, node, datetime.now(UTC).isoformat(timespec="seconds"))
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(fault)) + "\n")


def read(folder: Path) -> list[Fault]:
    """Everything that went wrong so far, the oldest first; a line that a crash has torn is left out."""
    found = []
    with suppress(FileNotFoundError):
        for line in (folder / _FILE).read_text(encoding="utf-8").splitlines():
            with suppress(ValueError, TypeError):
                told = json.loads(line)
                found.append(Fault(**told | {"doing": Doing.from_json(told["doing"])}))
    return found


def why_lost(store: Path, doing: Doing | None, said: str) -> str:
    """Why a worker was lost: what its watchdog has left, else what Ray says, in one line.

    Args:
        store: Folder of the store.
        doing: What it was doing.
        said: Ray's words.
    """
    if doing is not None:
        with suppress(OSError):
            return (store / "scratch" / doing.stage / STALLED).read_text(encoding="utf-8").strip()
    text = " ".join(said.split()).partition(" Check python-core-worker")[0]
    for pattern in (r".*Worker exit detail: (.+?\.)(?: Some common causes.*)?$", r".*The actor is dead because (.+)$"):
        if match := re.match(pattern, text):
            return match[1][:_REASON]
    return text[:_REASON] or "Ray gives no reason"


def note_executed(folder: Path, who: int | str, keys: Iterable[str]) -> None:
    """Write down who computed these stages: a trial's number, or "shared"; lasts even if it is killed right after.

    What is written down already is not written again: the worker does it at once, and the driver once more, whose disk
    may be another one.
    """
    new = set(keys).difference(executed(folder, who))
    if new:
        (folder / "executed").mkdir(parents=True, exist_ok=True)
        with (folder / "executed" / f"{who}.txt").open("a", encoding="utf-8") as file:
            file.writelines(f"{key}\n" for key in keys if key in new)


def executed(folder: Path, who: int | str) -> tuple[str, ...]:
    """Keys of the stages that a trial computed itself over all its attempts; "shared": for all trials."""
    file = folder / "executed" / f"{who}.txt"
    return tuple(file.read_text(encoding="utf-8").split()) if file.exists() else ()
