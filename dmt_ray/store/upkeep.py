"""Maintenance of a store: listing, checking, removing leftovers, evicting files to free space."""

import json
import logging
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from math import ceil
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter

from dmt_ray.errors import MissingStages, StoreError
from dmt_ray.store import files
from dmt_ray.store.leases import STALE, Leases
from dmt_ray.store.record import RECORD
from dmt_ray.store.stage_dirs import DamagedStage, StageDirs, StagePath

log = logging.getLogger(__name__)

FOLDERS = ("stages", "scratch", "staging", "damaged")  # what counts in the size of a store
VERIFIED = "verified.json"  # when each stage was last read whole: place, name of the stage, seconds since 1970
_TIMES = TypeAdapter(dict[str, dict[str, float]])
_FORGOTTEN = 24 * 3600.0  # seconds after which a staging folder of a living process of this host is a leftover
_GC = "gc"  # the lease of the one process that tidies
_HALF_WAY = 3600.0  # seconds: an evicted file that exists and is younger is just being restored


class Row(NamedTuple):
    """One stage in a listing."""

    operation: str
    key: str
    seed: int
    summary: str  # the settings in a few words
    bytes: int  # of its files; evicted ones do not count
    made: str  # when it was computed, ISO 8601 in UTC
    evicted: tuple[str, ...]  # files that were removed to free space


class Freed(NamedTuple):
    """What was removed from a store."""

    evicted: tuple[str, ...]  # files of stages, as "label-<key>/labels.npy", in the order of their removal
    removed: tuple[str, ...]  # leftovers, as paths below the store: scratch, staging, leases
    bytes: int  # of both
    left: int  # size of the store now, in bytes


def rows(stage_dirs: StageDirs) -> list[Row]:
    """All stages with a readable record, sorted by operation and key."""
    listed = []
    for stage_path in stage_dirs.stage_paths():
        record = stage_dirs.peek(stage_path)
        if record is None:
            log.warning("%s has no readable record: not listed; `dmt store verify` quarantines it.", stage_path.name)
        else:
            identity = (stage_path.operation, stage_path.key, record.seed, record.summary)
            listed.append(Row(*identity, record.size, str(record.made.get("when", "")), record.evicted))
    return listed


class Verified(NamedTuple):
    """What came of reading stages."""

    damaged: list[str]  # names of the stages that were damaged
    read: int  # number of the stages that were read


def verify(stage_dirs: StageDirs, share: float = 1.0) -> Verified:
    """Read every byte of stages, and quarantine damaged ones (see `Store.verify`)."""

    def read(stage_path: StagePath) -> bool:
        try:
            stage_dirs.intact(stage_path, afresh=True)
        except DamagedStage:
            return False
        except MissingStages:  # another process has quarantined it since the folder was listed
            pass
        return True

    return in_turn(stage_dirs, list(stage_dirs.stage_paths()), share, read)


def in_turn(
    stage_dirs: StageDirs,
    stage_paths: Sequence[StagePath],
    share: float,
    read: Callable[[StagePath], bool],
    where: str = "",
) -> Verified:
    """Read the stages of a place that were read longest ago, and note when.

    Args:
        stage_dirs: Of the store in which the times are noted.
        stage_paths: All stages of the place.
        share: Share of them, in ``(0, 1]``; at least one is read.
        read: Reads one and says whether it is intact.
        where: URL of the place; "": the folder of the store.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must be above 0 and at most 1, but got {share}")
    times = _times(stage_dirs.folder)
    when = times.get(where, {})
    turn = sorted(stage_paths, key=lambda stage_path: (when.get(stage_path.name, 0.0), stage_path.name))
    chosen = turn[: ceil(share * len(turn))]
    damaged = sorted(stage_path.name for stage_path in chosen if not read(stage_path))
    when |= {stage_path.name: time.time() for stage_path in chosen}
    listed = {stage_path.name for stage_path in turn} - set(damaged)
    times[where] = {name: seconds for name, seconds in when.items() if name in listed}
    with suppress(OSError):  # a store that may only be read can be verified, too
        files.replace(stage_dirs.folder / VERIFIED, json.dumps(times), stage_dirs.folder / "staging")
    return Verified(damaged, len(chosen))


def _times(folder: Path) -> dict[str, dict[str, float]]:
    """When each stage of each place was last read whole, in seconds since 1970."""
    try:
        return _TIMES.validate_json((folder / VERIFIED).read_bytes())
    except (OSError, ValueError):
        return {}


def size(folder: Path) -> int:
    """Bytes of all stages, scratch, staging and damaged ones."""
    return sum(files.size_of(folder / name) for name in FOLDERS)


def tidy(stage_dirs: StageDirs, leases: Leases) -> tuple[str, ...]:
    """Remove leftovers of ended processes (see `Store.tidy`)."""
    lease = leases.take(_GC, _GC)
    if lease is None:
        return ()
    with lease:
        return tuple(str(path.relative_to(stage_dirs.folder)) for path in _leftovers(stage_dirs, leases))


def gc(
    stage_dirs: StageDirs,
    leases: Leases,
    budget_bytes: int,
    keep: Collection[str],
    evictable: Iterable[Sequence[str]],
    first: Mapping[str, str],
) -> Freed:
    """Remove leftovers, then evict files until the store fits its budget (see `Store.gc`)."""
    if budget_bytes < 0:
        raise ValueError(f"budget_bytes must be at least 0, but got {budget_bytes}")
    lease = leases.take(_GC, _GC)
    if lease is None:
        raise StoreError(f"another process is tidying the store {stage_dirs.folder}. Wait until it has finished.")
    with lease:
        before = size(stage_dirs.folder)
        gone = [*_leftovers(stage_dirs, leases), *_half_evicted(stage_dirs, leases)]
        removed = tuple(str(path.relative_to(stage_dirs.folder)) for path in gone)
        left, evicted = size(stage_dirs.folder), list[str]()
        for candidate in _candidates(stage_dirs, keep, evictable, first):
            if left <= budget_bytes:
                break
            if names := _evict(stage_dirs, leases, candidate):
                evicted += [f"{candidate.stage_path.name}/{name}" for name in names]
                left -= candidate.bytes
        left = size(stage_dirs.folder)
    return Freed(tuple(evicted), removed, max(0, before - left), left)


def _is_spared(stage_dirs: StageDirs, leases: Leases, key: str) -> bool:
    """Whether a stage is in use, or still to be uploaded: then this machine alone has it."""
    return key in _in_use(leases) or any(key == stage_path.key for stage_path in stage_dirs.pending())


def _in_use(leases: Leases) -> set[str]:
    """Keys of the stages that are being computed, and of their inputs."""
    return {key for lease in leases.held() for key in (lease.key, *lease.inputs)}


def _leftovers(stage_dirs: StageDirs, leases: Leases) -> Iterator[Path]:
    """Remove leftovers of ended processes, and name them."""
    leases.settle()
    in_use = _in_use(leases)
    for path in leases.expired():
        yield _removed(path)
    for path in _children(stage_dirs.folder / "staging"):
        if _is_leftover(stage_dirs, leases, path) and not stage_dirs.restore(path):
            # Its process may only have been stopped: it must not find a part of what it wrote.
            gone = path.with_name(files.staging_name(path.name.split(".")[0]))
            with suppress(FileNotFoundError):
                os.rename(path, gone)
                files.remove(gone)
                yield path
    for path in _children(stage_dirs.folder / "scratch"):
        operation, _, key = path.name.rpartition("-")
        stage_path = stage_dirs.locate(key)
        if stage_path is not None and stage_path.operation == operation and key not in in_use:
            yield _removed(path)


def _is_leftover(stage_dirs: StageDirs, leases: Leases, staging: Path) -> bool:
    owner = files.owner(staging.name)
    if owner is not None and files.is_dead(*owner):
        return True
    key = staging.name.split(".")[0].rpartition("-")[2]
    if leases.is_held(key) or leases.is_held(f"fetch-{key}"):
        return False
    if owner is None or owner[0] == files.HOST:
        return _age(staging, leases) > _FORGOTTEN
    # Of processes of other hosts nothing is known. Without a lease, one that writes nothing, or a stage that the store
    # has, is no loss.
    stage_path = stage_dirs.locate(key)
    return (stage_path is not None and stage_dirs.is_here(stage_path, whole=True)) or _age(staging, leases) > STALE


def _half_evicted(stage_dirs: StageDirs, leases: Leases) -> Iterator[Path]:
    """Remove files whose eviction was interrupted, and name them."""
    in_use = _in_use(leases)
    for stage_path in stage_dirs.stage_paths():
        record = stage_dirs.peek(stage_path)
        for name in record.evicted if record is not None and stage_path.key not in in_use else ():
            path = stage_path.folder / name
            if path.exists() and _age(path, leases) > _HALF_WAY:
                yield _removed(path)


def _children(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _age(path: Path, leases: Leases) -> float:
    """Seconds since anything in a folder was last written."""
    try:
        newest = max(below.lstat().st_mtime for below in (path, *path.rglob("*")))
    except FileNotFoundError:
        return 0.0
    return leases.clock.now() - newest


def _removed(path: Path) -> Path:
    files.remove(path)
    return path


class _Candidate(NamedTuple):
    unproven: bool  # whether nobody has shown that the stage comes back
    rank: int
    used: float
    stage_path: StagePath
    names: tuple[str, ...]
    bytes: int


def _candidates(
    stage_dirs: StageDirs, spared: Collection[str], evictable: Iterable[Sequence[str]], first: Mapping[str, str]
) -> list[_Candidate]:
    """Files that could be evicted, in that order: those that were shown to come back before all others, then by kind,
    then by when their stage was last used.
    """
    candidates = []
    for stage_path in stage_dirs.stage_paths():
        record = None if stage_path.key in spared else stage_dirs.peek(stage_path)
        if record is None:
            continue
        try:
            used = (stage_path.folder / RECORD).stat().st_mtime
        except FileNotFoundError:
            continue
        unproven = first.get(stage_path.key) != record.digest
        for rank, kind in enumerate(evictable):
            names = tuple(name for name in kind if name in record.files and name not in record.evicted)
            if names:
                size = sum(record.sizes[name] for name in names)
                candidates.append(_Candidate(unproven, rank, used, stage_path, names, size))
    return sorted(candidates)


def _evict(stage_dirs: StageDirs, leases: Leases, candidate: _Candidate) -> tuple[str, ...]:
    if _is_spared(stage_dirs, leases, candidate.stage_path.key):
        return ()
    # By descriptor: if another process replaces the stage meanwhile, the new folder is not touched.
    try:
        folder = os.open(candidate.stage_path.folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return ()
    try:
        record = stage_dirs.peek(candidate.stage_path)
        same = os.fstat(folder).st_ino == candidate.stage_path.folder.stat().st_ino
        if record is None or not same:
            return ()
        evicted = tuple(sorted({*record.evicted, *candidate.names}))
        # The record first: a reader that misses a file reads the record again and finds it evicted.
        write = partial(files.replace, Path(RECORD), staging=stage_dirs.folder / "staging", folder=folder)
        write(replace(record, evicted=evicted).to_json())
        os.utime(RECORD, (candidate.used, candidate.used), dir_fd=folder)
        # Who takes a lease now finds the files evicted. Who has taken one since the last look may have found them
        # here, and goes on reading them.
        if _is_spared(stage_dirs, leases, candidate.stage_path.key):
            write(record.to_json())
            return ()
        for name in candidate.names:
            os.unlink(name, dir_fd=folder)
        return candidate.names
    except FileNotFoundError:  # the folder was replaced, and is being removed
        return ()
    finally:
        os.close(folder)
