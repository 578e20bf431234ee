"""Leases: which process computes which stage, so that work is rarely done twice and progress is visible.

Correctness never rests on a lease. If a process ignores or loses one, a stage is computed twice and written once.
"""

import json
import logging
import os
import re
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field, TypeAdapter

from dmt_ray.files import parse_json
from dmt_ray.plan.key import KEY_LENGTH
from dmt_ray.store import files
from dmt_ray.store.clock import FileClock

log = logging.getLogger(__name__)

STALE = 30.0  # seconds without a beat after which a lease looks expired
HEARTBEAT = 5.0  # seconds between two beats of the thread
WATCH = 3 * HEARTBEAT  # seconds for which a lease that looks expired must stay untouched before it counts as expired
POLL = 0.5  # seconds between two looks at a stage that another process computes
LAST = 253_402_300_800.0  # seconds since 1970 of the year 10,000, which no date can be of
PROGRESS = 1.0  # least seconds between two rewrites with a new step

_KEYS = re.compile(rf"[0-9a-f]{{{KEY_LENGTH}}}")
_TOKENS = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Running:
    """The content of a lease's file: which process computes a stage, and how far it is.

    Attributes:
        started: Seconds since 1970 at which the lease was taken.
        beat: Seconds since 1970 of the last sign of life, by the clock that stamps the store's files.
        inputs: Keys of the stages that are being read.
    """

    key: str
    operation: str
    step: int
    steps: int
    host: str
    pid: Annotated[int, Field(ge=0)]
    started: Annotated[float, Field(ge=0, lt=LAST)]
    beat: float
    inputs: tuple[str, ...] = ()
    token: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] = ""

    @property
    def holder(self) -> str:
        """Who holds it and since when, as text for people."""
        since = datetime.fromtimestamp(self.started).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
        return f"process {self.pid} on {self.host} has computed since {since}"


class Borrowed:
    """A lease in which this process reports progress, whichever process holds it.

    Attributes:
        held: Whether there is such a lease.
    """

    def __init__(self, path: Path | None, staging: Path, content: dict[str, Any]) -> None:
        self.held = path is not None
        self._path = path or Path()
        self._staging = staging
        self._content = content
        self._written = 0.0
        self._lock = threading.Lock()

    def beat(self, step: int, steps: int) -> None:
        """Report how far the stage is; written at most once a second."""
        if self.held and time.monotonic() - self._written >= PROGRESS:
            with self._lock:
                self._written = time.monotonic()
                self._content |= {"step": step, "steps": steps, "beat": time.time()}
                with suppress(OSError):  # a notice that cannot be written must not end hours of work
                    if self._is_ours():
                        files.replace(self._path, json.dumps(self._content), self._staging, synced=False)

    def _is_ours(self) -> bool:
        current = _read(self._path)
        return current is not None and current.token == self._content["token"]


class Lease(Borrowed):
    """This process's lease on a stage; a context manager that keeps it fresh.

    Attributes:
        held: Whether this process is to compute the stage.
    """

    def __init__(self, path: Path | None, staging: Path, content: dict[str, Any]) -> None:
        super().__init__(path, staging, content)
        self._closing = threading.Event()
        self._heart = threading.Thread(target=self._keep_fresh, daemon=True, name="lease")

    @property
    def lease_token(self) -> dict[str, Any]:
        """What another process needs to report progress in this lease (see `Store.borrowed`): a small JSON object.

        Empty if the lease is not held.
        """
        return dict(self._content) if self.held else {}

    def __enter__(self) -> "Lease":
        if self.held:
            self._heart.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Give up the lease, so that another process may compute the stage."""
        self._closing.set()
        if self._heart.is_alive():
            self._heart.join()
        with self._lock, suppress(OSError):
            if self.held and self._is_ours():
                self._path.unlink(missing_ok=True)
        self.held = False

    def _keep_fresh(self) -> None:
        while not self._closing.wait(HEARTBEAT):
            with self._lock, suppress(OSError):
                if self._is_ours():
                    os.utime(self._path)


class _Watched(NamedTuple):
    """What a process has seen of a lease's file."""

    seen: tuple[str, float]  # its token and its time
    since: float  # by the steady clock
    beats: bool  # whether it has been touched under its eyes


class Leases:
    """The folder of leases of a store.

    By its time alone no lease expires: if the clock was set or the machine has slept since the last beat, the leases of
    living processes look old, too. One that looks old is watched: its process may still touch it.
    """

    def __init__(self, folder: Path, staging: Path) -> None:
        self._folder = folder
        self._staging = staging
        self._watched = dict[Path, _Watched]()
        self.clock = FileClock(staging)

    def nothing(self) -> Lease:
        """A lease that is not held."""
        return Lease(None, self._staging, {})

    def borrowed(self, lease_token: Mapping[str, Any]) -> Borrowed:
        """The lease with this token (see `Store.borrowed`)."""
        if not lease_token:
            return Borrowed(None, self._staging, {})
        key, token = (str(lease_token.get(name)) for name in ("key", "token"))
        if not _KEYS.fullmatch(key) or not _TOKENS.fullmatch(token):
            raise ValueError(f"a lease token is the value of Lease.lease_token, but got {dict(lease_token)}")
        return Borrowed(self._folder / f"{key}.json", self._staging, dict(lease_token))

    def holder(self, key: str) -> Running | None:
        """The lease on a stage, if there is one that does not look expired."""
        current = self._read(self._folder / f"{key}.json")
        return current if current is not None and self._is_fresh(current) else None

    def is_held(self, key: str) -> bool:
        """Whether there is a lease on a stage that has not expired for certain."""
        path = self._folder / f"{key}.json"
        current = self._read(path)
        return current is not None and self._has_expired(path, current) is not True

    def take(self, key: str, operation: str, inputs: Sequence[str] = ()) -> Lease | None:
        """Lease a stage, or return None if another process has a lease on it.

        A lease that looks expired is watched first, for `WATCH` seconds.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{key}.json"
        now = time.time()
        mine = Running(key, operation, 0, 0, files.HOST, os.getpid(), now, now, tuple(inputs), secrets.token_hex(8))
        content = asdict(mine)
        logged = False
        while True:
            try:
                files.create(path, json.dumps(content))
                return Lease(path, self._staging, content)
            except FileExistsError:
                current = self._read(path)
            if current is None:  # released meanwhile
                continue
            expired = self._has_expired(path, current)
            if expired is not None:
                break
            if not logged:
                self._log_watching(current)
                logged = True
            time.sleep(POLL)
        if not expired or not self._take_over(path, current, content):
            return None
        return Lease(path, self._staging, content)

    def _take_over(self, path: Path, stale: Running, content: dict[str, Any]) -> bool:
        """Replace a stale lease; of several processes that try, one succeeds."""
        marker = path.with_suffix(f".{stale.token or 'unreadable'}.takeover")
        try:
            files.create(marker, "")
        except FileExistsError:  # another process is taking it over, or was killed meanwhile
            with suppress(FileNotFoundError):
                if abs(self.clock.now() - marker.stat().st_mtime) > STALE:
                    marker.unlink()
            return False
        try:
            current = self._read(path)
            if current is None or (current.token, current.beat) != (stale.token, stale.beat):
                return False
            files.replace(path, json.dumps(content), self._staging, synced=False)
            return True
        finally:
            marker.unlink(missing_ok=True)

    def running(self) -> list[Running]:
        """The leases on stages that do not look expired, the oldest first."""
        leases = (self._read(path) for path in self._paths() if _KEYS.fullmatch(path.stem))
        return sorted((lease for lease in leases if lease and self._is_fresh(lease)), key=lambda lease: lease.started)

    def held(self) -> list[Running]:
        """The leases on stages that have not expired for certain."""
        leases = ((path, self._read(path)) for path in self._paths() if _KEYS.fullmatch(path.stem))
        return [lease for path, lease in leases if lease and self._has_expired(path, lease) is not True]

    def expired(self) -> Iterator[Path]:
        """Files of leases that have expired for certain."""
        return (path for path in self._paths() if (lease := self._read(path)) and self._has_expired(path, lease))

    def settle(self) -> None:
        """Wait until it is certain of each lease whether it has expired: at most `WATCH` seconds for each."""
        logged = False
        while doubtful := [
            lease for path in self._paths() if (lease := self._read(path)) and self._has_expired(path, lease) is None
        ]:
            if not logged:
                self._log_watching(doubtful[0])
                logged = True
            time.sleep(POLL)

    @staticmethod
    def _log_watching(lease: Running) -> None:
        log.warning(
            "a lease of process %d on %s looks expired: waiting %g s to see whether that process is alive",
            *(lease.pid, lease.host, WATCH),
        )

    def _is_fresh(self, lease: Running) -> bool:
        # A beat that lies ahead, as of a machine whose clock was wrong, is no sign of life either.
        return abs(self.clock.now() - lease.beat) < STALE and not files.is_dead(lease.host, lease.pid)

    def _has_expired(self, path: Path, lease: Running) -> bool | None:
        """Whether a lease that was just read has expired; None: it looks so, but has to be watched for longer."""
        if files.is_dead(lease.host, lease.pid):
            return True
        if self._is_fresh(lease):
            return False
        watched = self._watched.get(path)
        if watched is None:  # another thread has found it released
            return None
        if time.monotonic() - watched.since >= WATCH:
            return True
        return False if watched.beats else None

    def _read(self, path: Path) -> Running | None:
        """Read a lease, and note since when it is as it is."""
        lease = _read(path)
        if lease is None:
            self._watched.pop(path, None)
            return None
        before, now = self._watched.get(path), (lease.token, lease.beat)
        if before is None or before.seen != now:
            beats = before is not None and before.seen[0] == lease.token
            self._watched[path] = _Watched(now, time.monotonic(), beats)
        return lease

    def _paths(self) -> list[Path]:
        with suppress(FileNotFoundError), os.scandir(self._folder) as entries:
            return [Path(entry.path) for entry in entries]
        return []


def _read(path: Path) -> Running | None:
    """Read a lease's file, by whose clock its beat is; None if there is none.

    A broken one, and one that this user may not read, belongs to no process and expires by its age alone.
    """
    try:
        # Opened before its age is read: network file systems answer a bare stat from their cache.
        with path.open(encoding="utf-8", errors="replace") as file:
            text, beat = file.read(), os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return None
    except OSError:
        try:
            text, beat = "", path.stat().st_mtime
        except OSError:
            return None
    try:
        return _LEASES.validate_python({**parse_json(text), "key": path.stem, "beat": beat})
    except (ValueError, TypeError):
        return Running(path.stem, "", 0, 0, "", 0, beat, beat)


_LEASES = TypeAdapter(Running)
