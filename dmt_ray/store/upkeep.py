"""Looking after a store: what is in it, whether it is sound, and what may go to free space."""

import logging
import os
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from dmt_ray.errors import MissingStages, StoreError
from dmt_ray.store import files
from dmt_ray.store.claims import STALE, Claims
from dmt_ray.store.record import RECORD
from dmt_ray.store.shelf import DamagedStage, Place, Shelf

log = logging.getLogger(__name__)

# What may be taken away, in this order. Everything else is small and is what tables and figures are made of.
EVICTABLE = (
    ("labels.npy", "confidence.npy", "rank.npy"),
    tuple(f"{name}{kind}.safetensors" for name in ("model", "A", "B") for kind in ("", "-averaged")),
    ("examples.npz",),
)
LARGE = EVICTABLE[0] + EVICTABLE[1]  # what only computing needs; figures are made of the rest
FOLDERS = ("stages", "scratch", "aside", "damaged")  # what counts in the size of a store
_FORGOTTEN = 24 * 3600.0  # seconds after which what lies aside for a living process of this host counts as left behind
_GC = "gc"  # who tidies claims this, so that one process does
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
        removed: What was left behind, as a path below the store: scratch, aside, claims.
        bytes: How much that was.
        left: Bytes that the store has now.
    """

    evicted: tuple[str, ...]
    removed: tuple[str, ...]
    bytes: int
    left: int


def rows(shelf: Shelf) -> list[Row]:
    """All stages with a readable record, sorted by operation and key."""
    found = []
    for place in shelf.places():
        record = shelf.peek(place)
        if record is None:
            log.warning("%s has no readable record and is not listed; verify() sets it aside.", place.name)
        else:
            made = str(record.made.get("when", ""))
            taken = record.size
            found.append(Row(place.operation, place.key, record.seed, record.summary, taken, made, record.evicted))
    return found


def damaged(shelf: Shelf) -> list[str]:
    """Read every byte of every stage, set damaged ones aside, and return their names."""
    found = []
    for place in list(shelf.places()):
        try:
            shelf.intact(place, afresh=True)
        except DamagedStage:
            found.append(place.name)
        except MissingStages:  # gone since the folder was listed: another process set it aside
            continue
    return found


def size(folder: Path) -> int:
    """Bytes of the stages and of what lies around for them."""
    return sum(files.size_of(folder / name) for name in FOLDERS)


def tidy(shelf: Shelf, claims: Claims) -> tuple[str, ...]:
    """Remove what ended processes left behind, and name it (see `Store.tidy`)."""
    claim = claims.take(_GC, _GC)
    if claim is None:
        return ()
    with claim:
        return tuple(str(path.relative_to(shelf.folder)) for path in _left_behind(shelf, claims))


def gc(shelf: Shelf, claims: Claims, budget_bytes: int, keep: Collection[str]) -> Freed:
    """Remove what was left behind, then evict files until the store fits its budget (see `Store.gc`)."""
    if budget_bytes < 0:
        raise ValueError(f"budget_bytes must be at least 0, but got {budget_bytes}")
    claim = claims.take(_GC, _GC)
    if claim is None:
        raise StoreError(f"another process is tidying the store {shelf.folder}. Wait until it has finished.")
    with claim:
        before = size(shelf.folder)
        gone = [*_left_behind(shelf, claims), *_half_evicted(shelf, claims)]
        removed = tuple(str(path.relative_to(shelf.folder)) for path in gone)
        left, evicted = size(shelf.folder), list[str]()
        promised = {place.key for place in shelf.promised()}  # not uploaded yet: nobody else has them
        for candidate in _candidates(shelf, {*keep, *promised}):
            if left <= budget_bytes:
                break
            if candidate.place.key in _in_use(claims):  # asked each time: stages start while this goes on
                continue
            if names := _evict(shelf, candidate):
                evicted += [f"{candidate.place.name}/{name}" for name in names]
                left -= candidate.bytes
        left = size(shelf.folder)
    return Freed(tuple(evicted), removed, max(0, before - left), left)


def _in_use(claims: Claims) -> set[str]:
    """Keys of the stages that are being computed, and of those that these read."""
    return {key for one in claims.running() for key in (one.key, *one.inputs)}


def _left_behind(shelf: Shelf, claims: Claims) -> Iterator[Path]:
    """Remove, and name, what ended processes left behind."""
    in_use = _in_use(claims)
    for path in claims.stale():
        yield _removed(path)
    for path in _children(shelf.folder / "aside"):
        if _is_left_behind(shelf, claims, path):
            yield _removed(path)
    for path in _children(shelf.folder / "scratch"):
        operation, _, key = path.name.rpartition("-")
        place = shelf.find(key)
        if place is not None and place.operation == operation and key not in in_use:
            yield _removed(path)


def _is_left_behind(shelf: Shelf, claims: Claims, aside: Path) -> bool:
    owner = files.owner(aside.name)
    if owner is not None and files.is_dead(*owner):
        return True
    key = aside.name.split(".")[0].rpartition("-")[2]
    if claims.holder(key) is not None or claims.holder(f"fetch-{key}") is not None:
        return False
    if owner is None or owner[0] == files.HOST:
        return _age(aside) > _FORGOTTEN
    # Processes of other hosts cannot be asked. One that has no claim, and writes nothing or what is there, is no loss.
    place = shelf.find(key)
    return (place is not None and shelf.is_here(place, whole=True)) or _age(aside) > STALE


def _half_evicted(shelf: Shelf, claims: Claims) -> Iterator[Path]:
    """Remove, and name, files whose eviction ended half-way."""
    in_use = _in_use(claims)
    for place in shelf.places():
        record = shelf.peek(place)
        for name in record.evicted if record is not None and place.key not in in_use else ():
            path = place.path / name
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
    place: Place
    names: tuple[str, ...]
    bytes: int


def _candidates(shelf: Shelf, spared: Collection[str]) -> list[_Candidate]:
    """What could be evicted, first what should go first: by kind, then by when the stage was last read."""
    found = []
    for place in shelf.places():
        record = None if place.key in spared else shelf.peek(place)
        if record is None:
            continue
        try:
            used = (place.path / RECORD).stat().st_mtime
        except FileNotFoundError:
            continue
        for rank, kind in enumerate(EVICTABLE):
            names = tuple(name for name in kind if name in record.files and name not in record.evicted)
            if names:
                found.append(_Candidate(rank, used, place, names, sum(record.sizes[name] for name in names)))
    return sorted(found)


def _evict(shelf: Shelf, candidate: _Candidate) -> tuple[str, ...]:
    # By descriptor: if another process puts a whole stage in its place meanwhile, the new folder is not touched.
    try:
        folder = os.open(candidate.place.path, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return ()
    try:
        record = shelf.peek(candidate.place)
        same = os.fstat(folder).st_ino == candidate.place.path.stat().st_ino
        if record is None or not same:
            return ()
        evicted = tuple(sorted({*record.evicted, *candidate.names}))
        # The record first: a reader that misses a file reads the record again and finds it evicted.
        text = replace(record, evicted=evicted).to_json()
        files.replace(Path(RECORD), text, shelf.folder / "aside", folder=folder)
        os.utime(RECORD, (candidate.used, candidate.used), dir_fd=folder)
        for name in candidate.names:
            os.unlink(name, dir_fd=folder)
        return candidate.names
    except FileNotFoundError:  # the folder was replaced, and is being removed
        return ()
    finally:
        os.close(folder)
