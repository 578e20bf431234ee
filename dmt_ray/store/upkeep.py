"""Looking after a store: what is in it, whether it is sound, and what may go to free space."""

import logging
import os
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from dmt_ray.errors import MissingStages, StoreError
from dmt_ray.store import files
from dmt_ray.store.leases import STALE, Leases
from dmt_ray.store.record import RECORD
from dmt_ray.store.stage_dirs import DamagedStage, StageDirs, StagePath

log = logging.getLogger(__name__)

FOLDERS = ("stages", "scratch", "staging", "damaged")  # what counts in the size of a store
_FORGOTTEN = 24 * 3600.0  # seconds after which what lies aside for a living process of this host counts as left behind
_GC = "gc"  # who tidies leases this, so that one process does
_HALF_WAY = 3600.0  # seconds: an evicted file that is there and younger is just being put back


@dataclass(frozen=True)
class Row:
    """One stage in a listing.

    Attributes:
        summary: The settings in a few words.
        bytes: Size of what is there: evicted files do not count.
        made: When it was computed, ISO 8601 in UTC.
        evicted: Files that were taken away.
    """

    operation: str
    key: str
    seed: int
    summary: str
    bytes: int
    made: str
    evicted: tuple[str, ...]


@dataclass(frozen=True)
class Freed:
    """What a tidying took away.

    Attributes:
        evicted: Files of stages, as "label-<key>/labels.npy", in the order in which they went.
        removed: What was left behind, as a path below the store: scratch, aside, leases.
        bytes: How much that was.
        left: Bytes that the store has now.
    """

    evicted: tuple[str, ...]
    removed: tuple[str, ...]
    bytes: int
    left: int


def rows(stage_dirs: StageDirs) -> list[Row]:
    """All stages with a readable record, sorted by operation and key."""
    found = []
    for stage_path in stage_dirs.stage_paths():
        record = stage_dirs.peek(stage_path)
        if record is None:
            log.warning("%s has no readable record and is not listed; verify() sets it aside.", stage_path.name)
        else:
            made = str(record.made.get("when", ""))
            taken = record.size
            found.append(
                Row(stage_path.operation, stage_path.key, record.seed, record.summary, taken, made, record.evicted)
            )
    return found


def damaged(stage_dirs: StageDirs) -> list[str]:
    """Read every byte of every stage, set damaged ones aside, and return their names."""
    found = []
    for stage_path in list(stage_dirs.stage_paths()):
        try:
            stage_dirs.intact(stage_path, afresh=True)
        except DamagedStage:
            found.append(stage_path.name)
        except MissingStages:  # gone since the folder was listed: another process set it aside
            continue
    return found


def size(folder: Path) -> int:
    """Bytes of the stages and of what lies around for them."""
    return sum(files.size_of(folder / name) for name in FOLDERS)


def tidy(stage_dirs: StageDirs, leases: Leases) -> tuple[str, ...]:
    """Remove what ended processes left behind, and name it (see `Store.tidy`)."""
    lease = leases.take(_GC, _GC)
    if lease is None:
        return ()
    with lease:
        return tuple(str(path.relative_to(stage_dirs.folder)) for path in _left_behind(stage_dirs, leases))


def gc(
    stage_dirs: StageDirs, leases: Leases, budget_bytes: int, keep: Collection[str], evictable: Iterable[Sequence[str]]
) -> Freed:
    """Remove what was left behind, then evict files until the store fits its budget (see `Store.gc`)."""
    if budget_bytes < 0:
        raise ValueError(f"budget_bytes must be at least 0, but got {budget_bytes}")
    lease = leases.take(_GC, _GC)
    if lease is None:
        raise StoreError(f"another process is tidying the store {stage_dirs.folder}. Wait until it has finished.")
    with lease:
        before = size(stage_dirs.folder)
        gone = [*_left_behind(stage_dirs, leases), *_half_evicted(stage_dirs, leases)]
        removed = tuple(str(path.relative_to(stage_dirs.folder)) for path in gone)
        left, evicted = size(stage_dirs.folder), list[str]()
        promised = {stage_path.key for stage_path in stage_dirs.promised()}  # not uploaded yet: nobody else has them
        for candidate in _candidates(stage_dirs, {*keep, *promised}, evictable):
            if left <= budget_bytes:
                break
            if candidate.stage_path.key in _in_use(leases):  # asked each time: stages start while this goes on
                continue
            if names := _evict(stage_dirs, candidate):
                evicted += [f"{candidate.stage_path.name}/{name}" for name in names]
                left -= candidate.bytes
        left = size(stage_dirs.folder)
    return Freed(tuple(evicted), removed, max(0, before - left), left)


def _in_use(leases: Leases) -> set[str]:
    """Keys of the stages that are being computed, and of those that these read."""
    return {key for one in leases.running() for key in (one.key, *one.inputs)}


def _left_behind(stage_dirs: StageDirs, leases: Leases) -> Iterator[Path]:
    """Remove, and name, what ended processes left behind."""
    in_use = _in_use(leases)
    for path in leases.stale():
        yield _removed(path)
    for path in _children(stage_dirs.folder / "staging"):
        if _is_left_behind(stage_dirs, leases, path):
            yield _removed(path)
    for path in _children(stage_dirs.folder / "scratch"):
        operation, _, key = path.name.rpartition("-")
        stage_path = stage_dirs.find(key)
        if stage_path is not None and stage_path.operation == operation and key not in in_use:
            yield _removed(path)


def _is_left_behind(stage_dirs: StageDirs, leases: Leases, staging: Path) -> bool:
    owner = files.owner(staging.name)
    if owner is not None and files.is_dead(*owner):
        return True
    key = staging.name.split(".")[0].rpartition("-")[2]
    if leases.holder(key) is not None or leases.holder(f"fetch-{key}") is not None:
        return False
    if owner is None or owner[0] == files.HOST:
        return _age(staging) > _FORGOTTEN
    # Processes of other hosts cannot be asked. One that has no lease, and writes nothing or what is there, is no loss.
    stage_path = stage_dirs.find(key)
    return (stage_path is not None and stage_dirs.is_here(stage_path, whole=True)) or _age(staging) > STALE


def _half_evicted(stage_dirs: StageDirs, leases: Leases) -> Iterator[Path]:
    """Remove, and name, files whose eviction ended half-way."""
    in_use = _in_use(leases)
    for stage_path in stage_dirs.stage_paths():
        record = stage_dirs.peek(stage_path)
        for name in record.evicted if record is not None and stage_path.key not in in_use else ():
            path = stage_path.path / name
            if path.exists() and _age(path) > _HALF_WAY:
                yield _removed(path)


def _children(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _age(path: Path) -> float:
    """Seconds since anything in a folder was last written."""
    try:
        newest = max(one.lstat().st_mtime for one in (path, *path.rglob("*")))
    except FileNotFoundError:
        return 0.0
    return time.time() - newest


def _removed(path: Path) -> Path:
    files.remove(path)
    return path


class _Candidate(NamedTuple):
    rank: int
    used: float
    stage_path: StagePath
    names: tuple[str, ...]
    bytes: int


def _candidates(stage_dirs: StageDirs, spared: Collection[str], evictable: Iterable[Sequence[str]]) -> list[_Candidate]:
    """What could be evicted, first what should go first: by kind, then by when the stage was last read."""
    found = []
    for stage_path in stage_dirs.stage_paths():
        record = None if stage_path.key in spared else stage_dirs.peek(stage_path)
        if record is None:
            continue
        try:
            used = (stage_path.path / RECORD).stat().st_mtime
        except FileNotFoundError:
            continue
        for rank, kind in enumerate(evictable):
            names = tuple(name for name in kind if name in record.files and name not in record.evicted)
            if names:
                found.append(_Candidate(rank, used, stage_path, names, sum(record.sizes[name] for name in names)))
    return sorted(found)


def _evict(stage_dirs: StageDirs, candidate: _Candidate) -> tuple[str, ...]:
    # By descriptor: if another process puts a whole stage in its place meanwhile, the new folder is not touched.
    try:
        folder = os.open(candidate.stage_path.path, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return ()
    try:
        record = stage_dirs.peek(candidate.stage_path)
        same = os.fstat(folder).st_ino == candidate.stage_path.path.stat().st_ino
        if record is None or not same:
            return ()
        evicted = tuple(sorted({*record.evicted, *candidate.names}))
        # The record first: a reader that misses a file reads the record again and finds it evicted.
        text = replace(record, evicted=evicted).to_json()
        files.replace(Path(RECORD), text, stage_dirs.folder / "staging", folder=folder)
        os.utime(RECORD, (candidate.used, candidate.used), dir_fd=folder)
        for name in candidate.names:
            os.unlink(name, dir_fd=folder)
        return candidate.names
    except FileNotFoundError:  # the folder was replaced, and is being removed
        return ()
    finally:
        os.close(folder)
