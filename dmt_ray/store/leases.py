"""Leases: notices of who computes what, so that two processes seldom do the same work, and people see progress.

Correctness never rests on a lease. Whoever ignores one, or loses it, computes a stage twice and writes it once.
"""

import json
import os
import re
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dmt_ray.plan.key import KEY_LENGTH
from dmt_ray.store import files

STALE = 30.0  # seconds without a beat after which a lease counts for nothing
HEARTBEAT = 5.0  # seconds between two beats of the thread
POLL = 0.5  # seconds between two looks at a stage that another process computes
PROGRESS = 1.0  # least seconds between two rewrites that tell a new step

_KEYS = re.compile(rf"[0-9a-f]{{{KEY_LENGTH}}}")
_TOKENS = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Running:
    """What a lease's file tells: who computes a stage, and how far that is.

    Attributes:
        started: Seconds since 1970 at which the lease was taken.
        beat: Seconds since 1970 of the last sign of life.
        inputs: Keys of the stages that are being read.
    """

    key: str
    operation: str
    step: int
    steps: int
    host: str
    pid: int
    started: float
    beat: float
    inputs: tuple[str, ...] = ()
    token: str = ""

    @property
    def is_fresh(self) -> bool:
        """Whether somebody is still at it."""
        return time.time() - self.beat < STALE and not files.is_dead(self.host, self.pid)


class Borrowed:
    """A lease in which this process tells progress, whoever holds it.

    Attributes:
        held: Whether there is a lease to tell it in.
    """

    def __init__(self, path: Path | None, staging: Path, content: dict[str, Any]) -> None:
        self.held = path is not None
        self._path = path or Path()
        self._staging = staging
        self._content = content
        self._told = 0.0
        self._lock = threading.Lock()

    def beat(self, step: int, steps: int) -> None:
        """Tell how far the stage is; written at most once a second."""
        if self.held and time.monotonic() - self._told >= PROGRESS:
            with self._lock:
                self._told = time.monotonic()
                self._content |= {"step": step, "steps": steps, "beat": time.time()}
                with suppress(OSError):  # a notice that cannot be written must not end hours of work
                    if self._is_ours():
                        files.replace(self._path, json.dumps(self._content), self._staging, synced=False)

    def _is_ours(self) -> bool:
        there = _read(self._path)
        return there is not None and there.token == self._content["token"]


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
        """What another process needs to tell progress in this lease (see `Store.borrowed`): a few words of JSON.

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
        """Let others have the stage."""
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


class Leases:
    """The folder of leases of a store."""

    def __init__(self, folder: Path, staging: Path) -> None:
        self._folder = folder
        self._staging = staging

    def nothing(self) -> Lease:
        """A lease that is not held."""
        return Lease(None, self._staging, {})

    def borrowed(self, lease_token: Mapping[str, Any]) -> Borrowed:
        """The lease that a lease token belongs to (see `Store.borrowed`)."""
        if not lease_token:
            return Borrowed(None, self._staging, {})
        key, token = (str(lease_token.get(name)) for name in ("key", "token"))
        if not _KEYS.fullmatch(key) or not _TOKENS.fullmatch(token):
            raise ValueError(f"a lease token is what Lease.lease token gave, but got {dict(lease_token)}")
        return Borrowed(self._folder / f"{key}.json", self._staging, dict(lease_token))

    def holder(self, key: str) -> Running | None:
        """Who computes a stage now, if anybody."""
        there = _read(self._folder / f"{key}.json")
        return there if there is not None and there.is_fresh else None

    def take(self, key: str, operation: str, inputs: Sequence[str] = ()) -> Lease | None:
        """Lease a stage, or return None if another process has a fresh lease on it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{key}.json"
        now = time.time()
        content = {
            "key": key,
            "operation": operation,
            "inputs": list(inputs),
            "host": files.HOST,
            "pid": os.getpid(),
            "started": now,
            "beat": now,
            "step": 0,
            "steps": 0,
            "token": secrets.token_hex(8),
        }
        there = None
        while there is None:
            try:
                files.create(path, json.dumps(content))
                return Lease(path, self._staging, content)
            except FileExistsError:
                there = _read(path)  # None: released between the two looks
        if there.is_fresh or not self._inherit(path, there, content):
            return None
        return Lease(path, self._staging, content)

    def _inherit(self, path: Path, stale: Running, content: dict[str, Any]) -> bool:
        """Put a lease in the place of a stale one; of several processes that try, one succeeds."""
        marker = path.with_suffix(f".{stale.token or 'unreadable'}.takeover")
        try:
            files.create(marker, "")
        except FileExistsError:  # another takeover is at it, or died at it
            with suppress(FileNotFoundError):
                if time.time() - marker.stat().st_mtime > STALE:
                    marker.unlink()
            return False
        try:
            there = _read(path)
            if there is None or there.token != stale.token or there.is_fresh:
                return False
            files.replace(path, json.dumps(content), self._staging, synced=False)
            return True
        finally:
            marker.unlink(missing_ok=True)

    def running(self) -> list[Running]:
        """The leases on stages that are fresh, the oldest first."""
        found = (_read(path) for path in self._paths() if _KEYS.fullmatch(path.stem))
        return sorted((there for there in found if there is not None and there.is_fresh), key=lambda one: one.started)

    def stale(self) -> Iterator[Path]:
        """Files of leases that count for nothing."""
        for path in self._paths():
            there = _read(path)
            if there is not None and not there.is_fresh:
                yield path

    def _paths(self) -> list[Path]:
        with suppress(FileNotFoundError), os.scandir(self._folder) as entries:
            return [Path(entry.path) for entry in entries]
        return []


def _read(path: Path) -> Running | None:
    """What a lease's file tells; what cannot be read has no owner and counts by its age alone. None: no file."""
    try:
        # Opened before it is asked for its age: network file systems answer a bare stat from their cache.
        with path.open(encoding="utf-8", errors="replace") as file:
            text, beat = file.read(), os.fstat(file.fileno()).st_mtime
    except OSError:
        return None
    try:
        told = json.loads(text)
        token = str(told["token"])
        if not _TOKENS.fullmatch(token):
            raise ValueError(token)
        return Running(
            key=path.stem,
            operation=str(told["operation"]),
            step=int(told["step"]),
            steps=int(told["steps"]),
            host=str(told["host"]),
            pid=int(told["pid"]),
            started=float(told["started"]),
            beat=beat,
            inputs=tuple(str(key) for key in told["inputs"]),
            token=token,
        )
    except (ValueError, KeyError, TypeError):
        return Running(path.stem, "", 0, 0, "", 0, beat, beat)
