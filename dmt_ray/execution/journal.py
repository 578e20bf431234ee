"""The journal in the folder of a sweep or an ablation: who is running it, who computed what, and what went wrong.

`lock` is held by the process that goes on with it. `executed/<member>.txt` lists the stages that were computed for a
member. `doing/<member>.json` says what a worker does now; a worker that ends in order takes it away. `faults.jsonl` has
a line for every worker that was lost and for every member that failed, also of earlier starts, and
`errors/<member>.txt` says where an error came from. A member is a trial's number, "shared", or the name of a stage.
While `halt` is there, trials begin no further stage.
"""

import fcntl
import json
import os
import platform
import re
import shutil
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from dmt_ray.errors import StoreError, UserError, without_passwords
from dmt_ray.execution.health import take_reason
from dmt_ray.files import append_lines, parse_json, read_json, system_error, write_text
from dmt_ray.plan import Stage
from dmt_ray.plan.key import KEY_LENGTH

SHARED = "shared"  # stages that several members have in common
Kind = Literal["lost", "failed"]

_KEY = re.compile(rf"^[0-9a-f]{{{KEY_LENGTH}}}$", re.MULTILINE)
_ACTIVITIES, _FAULTS, _HALT = "doing", "faults.jsonl", "halt"
_REASON = 200  # characters of what Ray says


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from going on with what is in this folder; the lock ends with the process.

    Raises:
        UserError: If another process holds it.
        StoreError: If the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write to {folder}: {system_error(error)}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise UserError(f"{holder} is already running this ({folder}); wait for it, or stop it first") from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


def is_running(folder: Path) -> bool:
    """Whether a process goes on with what is in this folder now."""
    try:
        with locked(folder):
            return False
    except UserError:
        return True


class Halted(Exception):
    """A trial goes no further: what may be spent is spent."""


def halt(folder: Path) -> None:
    """Ask the workers to begin no further stage."""
    with suppress(OSError):
        (folder / _HALT).touch()


def go_on(folder: Path) -> None:
    """Take the request to halt back."""
    (folder / _HALT).unlink(missing_ok=True)


def check_halt(folder: Path) -> None:
    """Raise Halted if the workers are asked to begin no further stage."""
    if (folder / _HALT).exists():
        raise Halted


def note_executed(folder: Path, member: int | str, keys: Iterable[str]) -> None:
    """Write down that these stages were computed for a member; lasts even if the worker is killed right after.

    The worker does it at once, and the driver once more, whose disk may be another one: every key is written once.
    """
    new = [key for key in keys if key not in executed(folder, member)]
    if new:
        append_lines(folder / "executed" / f"{member}.txt", new)


def executed(folder: Path, member: int | str) -> tuple[str, ...]:
    """Keys of the stages that were computed for a member over all its attempts."""
    file = folder / "executed" / f"{member}.txt"
    # A key that a crash has torn is none.
    return tuple(_KEY.findall(file.read_text(encoding="utf-8", errors="replace"))) if file.exists() else ()


@dataclass(frozen=True)
class Activity:
    """What a worker does.

    Attributes:
        stage: Operation and key of the stage.
        what: Side and settings, for people.
        seed: The stage's seed.
        rung: Rung of the trial; None: a stage that several members share, or one of an ablation.
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
    def of(cls, stage: Stage, rung: int | None) -> "Activity":
        """This process is about to perform a stage."""
        what = f"model {stage.side}: {str(stage.config).removeprefix(f'{stage.side}: ')}"
        return cls(stage.name, what, stage.seed, rung, platform.node(), os.getpid())

    @classmethod
    def from_json(cls, value: Any) -> "Activity | None":
        """What `asdict` made; None: it is something else."""
        try:
            return cls(**value)
        except TypeError:
            return None

    def describe(self, shared: str = "") -> str:
        """For people; `shared` describes a stage that belongs to more than one member."""
        place = shared if self.rung is None else f"rung {self.rung}"
        return f"{self.stage} ({self.what}; seed {self.seed}{f', {place}' if place else ''})"

    __str__ = describe


def begin(folder: Path, member: int | str, activity: Activity, side: int = 0) -> None:
    """Write down what this worker is about to do for a member; `side` is 0 where there is one worker."""
    with suppress(OSError):  # a notice that cannot be written must not end the work
        write_text(_path(folder, member, side), json.dumps(asdict(activity)), synced=False)


def last_activity(folder: Path, member: int | str, side: int = 0) -> Activity | None:
    """What a worker of a member was last known to do."""
    try:
        return Activity.from_json(read_json(_path(folder, member, side)))
    except (OSError, ValueError):
        return None


def end(folder: Path, member: int | str) -> None:
    """The workers of a member do nothing any more."""
    for side in (0, 1):
        with suppress(OSError):
            _path(folder, member, side).unlink()


def end_all(folder: Path) -> None:
    """Forget what workers did; to be called where none is at work."""
    shutil.rmtree(folder / _ACTIVITIES, ignore_errors=True)


def _path(folder: Path, member: int | str, side: int) -> Path:
    return folder / _ACTIVITIES / f"{member}{'-second' * side}.json"


@dataclass(frozen=True)
class Fault:
    """Something that went wrong.

    Attributes:
        member: The member that it happened to.
        kind: "lost": a worker was lost, and another one goes on, if the limit allows; "failed": the member's end.
        error: Why, in one line.
        activity: What the worker did, where that is known.
        node: Host name, where it is known.
        when: ISO 8601 in UTC.
    """

    member: int | str
    kind: Kind
    error: str
    activity: Activity | None
    node: str | None
    when: str

    @property
    def place(self) -> str:
        """Where it happened, to be put behind what happened: " in finetune-ab12 (...) on node7"; "" if not known."""
        return "" if self.activity is None else f" in {self.activity} on {self.activity.node}"


def write_fault(
    folder: Path, member: int | str, kind: Kind, error: str, activity: Activity | None, node: str | None = None
) -> Fault:
    """Write down that something went wrong now."""
    node = activity.node if node is None and activity is not None else node
    fault = Fault(
        member, kind, without_passwords(error), activity, node, datetime.now(UTC).isoformat(timespec="seconds")
    )
    row = asdict(fault)
    row["who"], row["doing"] = row.pop("member"), row.pop("activity")  # as earlier versions called them
    append_lines(folder / _FAULTS, [json.dumps(row)])
    return fault


def read_faults(folder: Path) -> list[Fault]:
    """Everything that went wrong so far, the oldest first; a line that a crash has torn is left out."""
    faults = []
    with suppress(FileNotFoundError):
        for line in (folder / _FAULTS).read_bytes().split(b"\n"):
            with suppress(ValueError, TypeError, KeyError, AttributeError):
                row = parse_json(line)
                row["member"], row["activity"] = row.pop("who"), Activity.from_json(row.pop("doing"))
                faults.append(Fault(**row))
    return faults


def write_lost(folder: Path, store: Path, member: int | str, text: str, side: int = 0) -> Fault:
    """Write down that a worker of a side was lost, while it is still known what it did; `text` is what Ray says."""
    activity = last_activity(folder, member, side)
    reason = None if activity is None else take_reason(store / "scratch" / activity.stage)
    if reason is not None:
        keep_traceback(folder, member, "\n".join(reason))
    return write_fault(folder, member, "lost", _in_short(text) if reason is None else reason[0], activity)


def _in_short(text: str) -> str:
    text = " ".join(text.split()).partition(" Check python-core-worker")[0]
    for pattern in (r".*Worker exit detail: (.+?\.)(?: Some common causes.*)?$", r".*The actor is dead because (.+)$"):
        if match := re.match(pattern, text):
            return match[1][:_REASON]
    return text[:_REASON] or "Ray gives no reason"


def keep_traceback(folder: Path, member: int | str, text: str) -> None:
    """Write down where an error came from."""
    (folder / "errors").mkdir(exist_ok=True)
    (folder / "errors" / f"{member}.txt").write_text(without_passwords(text), encoding="utf-8")
