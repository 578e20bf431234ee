"""Bugs that are planted into the store, so that it is known which ones the simulation finds."""

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

from dmt_ray.store import files, leases, stage_dirs, upkeep
from dmt_ray.store.clock import FileClock
from dmt_ray.store.exchange import Exchange
from dmt_ray.store.leases import Leases
from dmt_ray.store.record import RECORD, Record
from dmt_ray.store.shared import Shared
from dmt_ray.store.stage_dirs import StageDirs, StagePath


def _file_by_file(self: StageDirs, stage_path: StagePath, staging: Path, record: Record) -> bool:
    stage_path.folder.mkdir(parents=True, exist_ok=True)
    for name in (RECORD, *record.files):
        text = record.to_json().encode() if name == RECORD else (staging / name).read_bytes()
        with suppress(FileExistsError), (stage_path.folder / name).open("xb") as file:
            file.write(text)
    return True


def _over_what_is_there(self: StageDirs, stage_path: StagePath, staging: Path, record: Record) -> bool:
    files.create(staging / RECORD, record.to_json())
    files.make_folder(stage_path.folder.parent)
    if stage_path.folder.exists():
        shutil.rmtree(stage_path.folder, ignore_errors=True)
    with suppress(OSError):
        os.rename(staging, stage_path.folder)
    return True


def _unlinked_first(stage_dirs: StageDirs, leases: Leases, candidate: Any) -> tuple[str, ...]:
    if upkeep._is_spared(stage_dirs, leases, candidate.stage_path.key):
        return ()
    record = stage_dirs.peek(candidate.stage_path)
    if record is None:
        return ()
    for name in candidate.names:
        (candidate.stage_path.folder / name).unlink(missing_ok=True)
    text = replace(record, evicted=tuple(sorted({*record.evicted, *candidate.names}))).to_json()
    with suppress(FileNotFoundError):
        files.replace(candidate.stage_path.folder / RECORD, text, stage_dirs.folder / "staging")
    return tuple(candidate.names)


def _looked_once() -> Callable[..., bool]:
    real, calls = upkeep._is_spared, dict[str, int]()

    def is_spared(stage_dirs: StageDirs, leases: Leases, key: str) -> bool:
        calls[key] = calls.get(key, 0) + 1
        return calls[key] % 2 == 1 and real(stage_dirs, leases, key)

    return is_spared


def _without_pending(stage_dirs: StageDirs, leases: Leases, key: str) -> bool:
    return key in upkeep._in_use(leases)


def _record_first(self: Shared, stage_path: StagePath, record: Record, folder: Path) -> None:
    text = BytesIO(record.to_json().encode())
    self._request(lambda: self._write(text, self._path(stage_path, RECORD)))
    for name in record.files:
        with (folder / name).open("rb") as content:
            self._request(lambda: self._write(content, self._path(stage_path, record.digest, name)))  # noqa: B023


def _without_digest(self: Shared, stage_path: StagePath, *below: str) -> str:
    names = (name for name in below if not re.fullmatch(r"[0-9a-f]{32}", name))
    return "/".join((self._root, "stages", stage_path.operation, stage_path.key, *names))


def _damaged_at_first_sight(self: StageDirs, stage_path: StagePath, check: Callable[[Record], None]) -> Record:
    _, text = self._state(stage_path)
    try:
        record = Record.from_json(text or b"")
        check(record)
        return record
    except ValueError as fault:
        raise self._quarantine(stage_path, str(fault)) from None


@contextmanager
def _by_own_clock() -> Iterator[None]:
    with patch.object(FileClock, "now", lambda self: time.time()), patch.object(leases, "WATCH", 0.0):
        yield


MUTANTS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "a stage is published file by file": lambda: patch.object(StageDirs, "install", _file_by_file),
    "a stage is published without a sync": lambda: patch.object(files, "sync", lambda path: None),
    "a stage is published over what is there": lambda: patch.object(StageDirs, "install", _over_what_is_there),
    "a stage is damaged at first sight": lambda: patch.object(StageDirs, "_checked", _damaged_at_first_sight),
    "names are not looked up anew": lambda: patch.object(files, "refresh", lambda *folders: None),
    "leases expire by each machine's clock": _by_own_clock,
    "leases never expire": lambda: patch.object(Leases, "_has_expired", lambda *_: False),
    "eviction ignores leases": lambda: patch.object(upkeep, "_in_use", lambda leases: set()),
    "eviction looks once": lambda: patch.object(upkeep, "_is_spared", _looked_once()),
    "eviction ignores pending uploads": lambda: patch.object(upkeep, "_is_spared", _without_pending),
    "eviction removes files before it says so": lambda: patch.object(upkeep, "_evict", _unlinked_first),
    "uploads are not marked": lambda: patch.object(Exchange, "mark_pending", lambda self, stage_path: None),
    "the record is uploaded first": lambda: patch.object(Shared, "put", _record_first),
    "uploads of two machines share names": lambda: patch.object(Shared, "_path", _without_digest),
}


@contextmanager
def planted(name: str) -> Iterator[None]:
    """The store with a bug."""
    with MUTANTS[name]():
        yield
    stage_dirs._digests.clear()
