"""The stages of a store as they lie on the disk: where they are, whether they are intact, and what is set aside."""

import errno
import logging
import os
import re
import stat
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import NamedTuple

from dmt_ray.errors import MissingStages, StoreError
from dmt_ray.plan.key import KEY_LENGTH
from dmt_ray.store import files
from dmt_ray.store.record import RECORD, Record

log = logging.getLogger(__name__)

# A file changed twice within one tick of the file system's clock keeps its time; younger files are not remembered.
_TICK_NS = 100_000_000
_digests: dict[tuple[str, int, int], str] = {}  # (path, size, mtime in ns) of the files that this process has read


class DamagedStage(StoreError):
    """A stage is not what its record says. It has been set aside and counts as missing."""


class StagePath(NamedTuple):
    """Where a stage is, or would be."""

    operation: str
    key: str
    path: Path

    @property
    def name(self) -> str:
        """Operation and key, as in `Stage.name`."""
        return f"{self.operation}-{self.key}"


class StageDirs:
    """The folders stages/, damaged/ and pending_uploads/ of a store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stages = folder / "stages"
        self.damaged = folder / "damaged"
        self.pending_uploads = folder / "pending_uploads"

    def stage_path(self, operation: str, key: str) -> StagePath:
        """The place of a stage.

        Raises:
            StoreError: If operation or key cannot be names in a store, or the folder is a symbolic link.
        """
        if not re.fullmatch(r"[a-z][a-z_]{0,31}", operation) or not re.fullmatch(rf"[0-9a-f]{{{KEY_LENGTH}}}", key):
            raise StoreError(
                f"a stage is named by an operation of lower-case letters and {KEY_LENGTH} hex digits, "
                f"but got {operation!r} and {key!r}"
            )
        path = self.stages / operation / key
        if path.is_symlink():
            raise StoreError(f"{path} is a symbolic link: a stage is a folder. Remove the link.")
        return StagePath(operation, key, path)

    def stage_paths(self) -> Iterator[StagePath]:
        """All stages, whatever their state; other things that lie around are passed over."""
        for operation in self._names(self.stages):
            for key in self._names(self.stages / operation):
                with suppress(StoreError):
                    yield self.stage_path(operation, key)

    def find(self, key: str) -> StagePath | None:
        """The place of the stage with this key, if it has a record."""
        for operation in self._names(self.stages):
            with suppress(StoreError):
                stage_path = self.stage_path(operation, key)
                if (stage_path.path / RECORD).is_file():
                    return stage_path
        return None

    @staticmethod
    def _names(folder: Path) -> list[str]:
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries)
        return []

    def peek(self, stage_path: StagePath) -> Record | None:
        """The record of a stage, or None if there is none that can be read."""
        try:
            return Record.from_json((stage_path.path / RECORD).read_bytes())
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None

    def is_here(self, stage_path: StagePath, *, whole: bool) -> bool:
        """Whether a stage has a readable record and, if it is to be whole, no file of it is evicted."""
        record = self.peek(stage_path)
        return record is not None and not (whole and record.evicted)

    def promised(self) -> Iterator[StagePath]:
        """The stages that are still to be uploaded to the object store that is shared."""
        for name in self._names(self.pending_uploads):
            operation, _, key = name.rpartition("-")
            with suppress(StoreError):
                yield self.stage_path(operation, key)

    def remade_inputs(self, record: Record) -> list[str]:
        """Names of the inputs that were computed again after this stage was made from them, to other bytes."""
        stage_paths = {name: self.find(key) for name, key in record.inputs.items()}
        there = {name: self.peek(stage_path) for name, stage_path in stage_paths.items() if stage_path is not None}
        return [
            f"{found.operation}-{found.key}"
            for name, found in there.items()
            if found is not None and record.input_digests.get(name, found.digest) != found.digest
        ]

    def record(self, stage_path: StagePath) -> Record:
        """The record of a stage, checked to be its own.

        Raises:
            MissingStages: If the stage is not there.
            DamagedStage: If the record is missing, broken or another's.
        """
        return self._settled(stage_path, lambda record: None)

    def intact(self, stage_path: StagePath, *, afresh: bool = False, unread: Collection[str] = ()) -> Record:
        """The record of a stage whose files are what it says.

        Args:
            place: The stage.
            afresh: Whether every byte is read again, instead of trusting digests of files that look unchanged.
            unread: Files of which only the size is compared.

        Raises:
            MissingStages: If the stage is not there.
            DamagedStage: If anything disagrees.
        """

        def check(record: Record) -> None:
            for name in sorted(record.files.keys() - set(record.evicted)):
                digest = None if name in unread else record.files[name]
                _check_file(stage_path.path / name, record.sizes[name], digest, afresh)

        return self._settled(stage_path, check)

    def install(self, stage_path: StagePath, staging: Path, record: Record) -> bool:
        """Write the record into a folder, and rename it into its place; False if there is an intact stage already.

        Args:
            place: The stage.
            aside: Folder on the same file system with the stage's files, synced, without a record.
            record: What they are.
        """
        files.create(staging / RECORD, record.to_json())
        files.sync(staging / RECORD)
        files.sync(staging)
        stage_path.path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                os.rename(staging, stage_path.path)
                files.sync(stage_path.path.parent)
                for name, digest in record.files.items():
                    with suppress(FileNotFoundError):
                        _remember(stage_path.path / name, digest)
                return True
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            try:
                there = self.intact(stage_path)
            except (DamagedStage, MissingStages):  # its place is free now
                continue
            if not there.evicted:
                return False
            if there.files != record.files:
                log.warning(
                    "%s, whose files were evicted, came out different this time. What was made from the old files "
                    "stays, and verify() names it.",
                    stage_path.name,
                )
            # As a whole, never file by file: gc may be evicting from the old folder.
            old = self.folder / "staging" / files.staging_name(stage_path.name)
            with suppress(FileNotFoundError):
                os.rename(stage_path.path, old)
            files.remove(old)

    def _settled(self, stage_path: StagePath, check: Callable[[Record], None]) -> Record:
        # A fault counts only if the stage did not change meanwhile: another process may have evicted or replaced it.
        while True:
            before = self._state(stage_path)
            try:
                if before[1] is None:
                    raise ValueError(f"{RECORD} is missing")
                record = Record.from_json(before[1])
                record.check_identity(stage_path.operation, stage_path.key)
                check(record)
                return record
            except ValueError as fault:
                if self._state(stage_path) == before:
                    raise self._quarantine(stage_path, str(fault)) from None

    def _state(self, stage_path: StagePath) -> tuple[int, bytes | None]:
        try:
            inode = stage_path.path.stat().st_ino
        except FileNotFoundError:
            raise MissingStages(f"{stage_path.name} is not in the store {self.folder}") from None
        try:
            return inode, (stage_path.path / RECORD).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return inode, None

    def _quarantine(self, stage_path: StagePath, fault: str) -> DamagedStage:
        self.damaged.mkdir(parents=True, exist_ok=True)
        for number in count(1):
            target = self.damaged / f"{stage_path.name}-{number}"
            if target.exists():
                continue
            try:
                os.rename(stage_path.path, target)
            except FileNotFoundError:  # another process has seen the damage too
                where = "set aside"
            except OSError:
                if target.exists():
                    continue
                raise
            else:
                where = f"moved to {target}"
            break
        message = f"{stage_path.name} was damaged: {fault}. It was {where} and counts as missing."
        log.warning(message)
        return DamagedStage(message)


def _remember(path: Path, digest: str) -> None:
    """Take a file's digest as known, so that this process need not read the file again."""
    status = path.stat()
    if time.time_ns() - status.st_mtime_ns > _TICK_NS:
        _digests[str(path), status.st_size, status.st_mtime_ns] = digest


def _check_file(path: Path, size: int, digest: str | None, afresh: bool) -> None:
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{path.name} is not a plain file")
        if status.st_size != size:
            raise ValueError(f"{path.name} has {status.st_size} bytes instead of {size}")
        if digest is None:
            return
        known = None if afresh else _digests.get((str(path), status.st_size, status.st_mtime_ns))
        found = known or files.digest(path)
    except FileNotFoundError:
        raise ValueError(f"{path.name} is missing") from None
    if found != digest:
        raise ValueError(f"{path.name} is altered (its digest does not agree)")
    if known is None and time.time_ns() - status.st_mtime_ns > _TICK_NS:
        _digests[str(path), status.st_size, status.st_mtime_ns] = digest
