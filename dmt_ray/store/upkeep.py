"""Looking after a store: what is in it, whether it is sound, and what may go to free space."""

import logging
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from dmt_ray.errors import MissingStages, StoreError
from dmt_ray.store import files
from dmt_ray.store.claims import Claims
from dmt_ray.store.record import RECORD, Record
from dmt_ray.store.shelf import DamagedStage, Place, Shelf

log = logging.getLogger(__name__)

# What may be taken away, in this order. Everything else is small and is what tables and figures are made of.
EVICTABLE = (("labels.npy", "confidence.npy"), ("model.safetensors",), ("examples.npz",))
FOLDERS = ("stages", "scratch", "aside", "claims", "damaged")
_FORGOTTEN = 24 * 3600.0  # seconds after which what lies aside for a process of another host counts as left behind


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


def tidy(shelf: Shelf, claims: Claims, budget_bytes: int, keep: Collection[str]) -> Freed:
    """Remove what was left behind, then evict files until the store fits its budget (see `Store.gc`)."""
    if budget_bytes < 0:
        raise ValueError(f"budget_bytes must be at least 0, but got {budget_bytes}")
    claim = claims.take("gc", "gc")
    if claim is None:
        raise StoreError(f"another process is tidying the store {shelf.folder}. Wait until it has finished.")
    with claim:
        before = size(shelf.folder)
        in_use = {key for one in claims.running() for key in (one.key, *one.inputs)}
        removed = [str(path.relative_to(shelf.folder)) for path in _left_behind(shelf, claims, in_use)]
        left, evicted = size(shelf.folder), []
        for candidate in _candidates(shelf, in_use | set(keep)):
            if left <= budget_bytes:
                break
            for name in _evict(shelf, candidate):
                evicted.append(f"{candidate.place.name}/{name}")
            left -= candidate.bytes
        left = size(shelf.folder)
    return Freed(tuple(evicted), tuple(removed), max(0, before - left), left)


def _left_behind(shelf: Shelf, claims: Claims, in_use: Collection[str]) -> Iterator[Path]:
    """Remove, and name, what ended processes left behind."""
    for path in claims.stale():
        yield _removed(path)
    for path in _children(shelf.folder / "aside"):
        owner, parts = files.owner(path.name), path.name.split(".")
        ended = owner is not None and files.is_dead(*owner)
        forgotten = parts[0].rpartition("-")[2] not in in_use and _age(path) > _FORGOTTEN
        if ended or forgotten:
            yield _removed(path)
    for path in _children(shelf.folder / "scratch"):
        operation, _, key = path.name.rpartition("-")
        place = shelf.find(key)
        if place is not None and place.operation == operation and key not in in_use:
            yield _removed(path)
    for place in shelf.places():
        record = shelf.peek(place)
        for name in record.evicted if record is not None and place.key not in in_use else ():
            if (place.path / name).exists():  # an eviction or a restoration ended half-way
                yield _removed(place.path / name)


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
    record = shelf.peek(candidate.place)
    if record is None:
        return ()
    evicted = tuple(sorted({*record.evicted, *candidate.names}))
    # The record first: a reader that misses a file reads the record again and finds it evicted.
    rewrite(shelf, candidate.place, replace(record, evicted=evicted))
    for name in candidate.names:
        (candidate.place.path / name).unlink(missing_ok=True)
    return candidate.names


def rewrite(shelf: Shelf, place: Place, record: Record) -> None:
    """Put another record in the place of a stage's record."""
    files.replace(place.path / RECORD, record.to_json(), shelf.folder / "aside")
