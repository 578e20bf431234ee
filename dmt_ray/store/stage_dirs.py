"""The folders of a store's stages: where they are, whether they are intact, and the quarantine of damaged ones."""

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

# A file that changes twice within one tick of the file system's clock keeps its time: younger files are not cached.
_TICK_NS = 100_000_000
_digests: dict[tuple[str, int, int], str] = {}  # (path, size, mtime in ns) of the files that this process has read


class DamagedStage(StoreError):
    """A stage does not agree with its record. It has been quarantined and counts as missing."""


class StagePath(NamedTuple):
    """Where a stage is, or would be."""

    operation: str
    key: str
    folder: Path

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
        """Where a stage is, or would be.

        Raises:
            StoreError: If operation or key cannot be names in a store, or the folder is a symbolic link.
        """
        if not re.fullmatch(r"[a-z][a-z_]{0,31}", operation) or not re.fullmatch(rf"[0-9a-f]{{{KEY_LENGTH}}}", key):
            raise StoreError(
                f"a stage is named by an operation of lower-case letters and {KEY_LENGTH} hex digits, "
                f"but got {operation!r} and {key!r}"
            )
        path = self.stages / operation / key
        for place in (path.parent, path):
            if place.is_symlink():
                raise StoreError(f"{place} is a symbolic link: the store holds folders of its own. Remove the link.")
        return StagePath(operation, key, path)

    def stage_paths(self) -> Iterator[StagePath]:
        """All stages, damaged ones too; anything else in the folder is skipped."""
        for operation in self._names(self.stages):
            for key in self._names(self.stages / operation):
                with suppress(StoreError):
                    yield self.stage_path(operation, key)

    def locate(self, key: str) -> StagePath | None:
        """Where the stage with this key is, if it has a record."""
        for operation in self._names(self.stages):
            with suppress(StoreError):
                stage_path = self.stage_path(operation, key)
                if (stage_path.folder / RECORD).is_file():
                    return stage_path
        return None

    @staticmethod
    def _names(folder: Path) -> list[str]:
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries)
        return []

    def refresh(self, stage_path: StagePath) -> None:
        """Let a network file system look at a stage anew."""
        files.refresh(self.folder, self.stages, stage_path.folder.parent, stage_path.folder)

    def peek(self, stage_path: StagePath) -> Record | None:
        """The record of a stage, or None if it is missing or broken."""
        try:
            return Record.from_json(_record_of(stage_path.folder))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None

    def is_here(self, stage_path: StagePath, *, whole: bool) -> bool:
        """Whether a stage has a readable record and, if it is to be whole, no file of it is evicted."""
        record = self.peek(stage_path)
        return record is not None and not (whole and record.evicted)

    def pending(self) -> list[StagePath]:
        """The stages that are still to be uploaded to the shared object store."""
        stage_paths = []
        for name in self._names(self.pending_uploads):
            operation, _, key = name.rpartition("-")
            with suppress(StoreError):
                stage_paths.append(self.stage_path(operation, key))
        return stage_paths

    def remade_inputs(self, record: Record) -> list[str]:
        """Names of the inputs that were computed again after this stage was made from them, to other bytes."""
        names = []
        for name, key in record.inputs.items():
            stage_path = self.locate(key)
            current = None if stage_path is None else self.peek(stage_path)
            if current is not None and record.input_digests.get(name, current.digest) != current.digest:
                names.append(f"{current.operation}-{current.key}")
        return names

    def record(self, stage_path: StagePath) -> Record:
        """The record of a stage, checked to belong to it.

        Raises:
            MissingStages: If the stage is not in the store.
            DamagedStage: If the record is missing, broken or another stage's.
        """
        return self._checked(stage_path, lambda record: None)

    def intact(self, stage_path: StagePath, *, afresh: bool = False, unread: Collection[str] = ()) -> Record:
        """The record of a stage, checked against the stage's files.

        Args:
            stage_path: The stage.
            afresh: Whether every byte is read again, instead of trusting digests of files that look unchanged.
            unread: Files of which only the size is compared.

        Raises:
            MissingStages: If the stage is not in the store.
            DamagedStage: If anything disagrees with the record.
        """

        def check(record: Record) -> None:
            for name in sorted(record.files.keys() - set(record.evicted)):
                digest = None if name in unread else record.files[name]
                _check_file(stage_path.folder / name, record.sizes[name], digest, afresh)

        return self._checked(stage_path, check)

    def install(self, stage_path: StagePath, staging: Path, record: Record) -> bool:
        """Write the record into a folder, and rename it to the stage's; False if an intact stage exists already.

        Args:
            stage_path: The stage.
            staging: Folder on the same file system with the stage's files, synced, without a record.
            record: The record of these files.
        """
        files.create(staging / RECORD, record.to_json())
        files.sync(staging / RECORD)
        files.sync(staging)
        files.make_folder(stage_path.folder.parent)
        # Not when they are in place: by then another process may have put its own files there.
        statuses = {name: (staging / name).stat() for name in record.files.keys() - set(record.evicted)}
        replaced = list[Path]()
        while True:
            try:
                os.rename(staging, stage_path.folder)
                files.sync(stage_path.folder.parent)
                for old in replaced:  # not before: a process that ends here must not take the stage with it
                    files.remove(old)
                for name, status in statuses.items():
                    _remember(stage_path.folder / name, status, record.files[name])
                return True
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            try:
                current = self.intact(stage_path)
            except (DamagedStage, MissingStages):  # its folder is free now
                continue
            if not current.evicted:
                return False
            if current.files != record.files:
                log.warning(
                    "%s was evicted and came out different when computed again. Stages made from the old files are "
                    "kept; `dmt store verify` names them.",
                    stage_path.name,
                )
            # As a whole, never file by file: gc may be evicting from the old folder.
            old = self.folder / "staging" / files.staging_name(stage_path.name)
            with suppress(FileNotFoundError):
                os.rename(stage_path.folder, old)
                replaced.append(old)

    def restore(self, staging: Path) -> bool:
        """Put a whole stage where it belongs that an ended process has left in staging; False if it is none.

        Such a process was about to install it, or had moved it away to install another computation of it.
        """
        operation, _, key = staging.name.split(".")[0].rpartition("-")
        try:
            stage_path = self.stage_path(operation, key)
            record = Record.from_json((staging / RECORD).read_bytes())
            record.check_identity(operation, key)
            for name in record.files.keys() - set(record.evicted):
                _check_file(staging / name, record.sizes[name], record.files[name], True)
            files.make_folder(stage_path.folder.parent)
            os.rename(staging, stage_path.folder)  # fails if the stage is there
            files.sync(stage_path.folder.parent)
        except (OSError, ValueError, StoreError):
            return False
        log.warning(
            "%s was left in staging by a process that has ended, whole. It is in the store now.", stage_path.name
        )
        return True

    def _checked(self, stage_path: StagePath, check: Callable[[Record], None]) -> Record:
        # A fault only counts if the stage has not changed meanwhile: another process may have evicted or replaced it.
        while True:
            try:
                before = self._state(stage_path)
            except MissingStages:
                self.refresh(stage_path)
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
            inode = stage_path.folder.stat().st_ino
        except FileNotFoundError:
            raise MissingStages(f"{stage_path.name} is not in the store {self.folder}") from None
        try:
            return inode, _record_of(stage_path.folder)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return inode, None

    def _quarantine(self, stage_path: StagePath, fault: str) -> DamagedStage:
        self.damaged.mkdir(parents=True, exist_ok=True)
        for number in count(1):
            target = self.damaged / f"{stage_path.name}-{number}"
            if target.exists():
                continue
            try:
                os.rename(stage_path.folder, target)
            except FileNotFoundError:  # another process has seen the damage too
                where = "quarantined by another process"
            except OSError:
                if target.exists():
                    continue
                raise
            else:
                where = f"moved to {target}"
            break
        message = f"{stage_path.name} was damaged: {fault}. It was {where} and now counts as missing."
        log.warning(message)
        return DamagedStage(message)


def _record_of(folder: Path) -> bytes:
    """The text of a stage's record; a symbolic link is none."""

    def opener(path: str, flags: int) -> int:
        try:
            return os.open(path, flags | os.O_NOFOLLOW)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise FileNotFoundError(errno.ENOENT, "the record is a symbolic link", path) from None

    with open(folder / RECORD, "rb", opener=opener) as file:
        return file.read()


def _remember(path: Path, status: os.stat_result, digest: str) -> None:
    """Cache a file's digest, so that this process need not read the file again."""
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
        actual = known or files.digest(path)
    except FileNotFoundError:
        raise ValueError(f"{path.name} is missing") from None
    if actual != digest:
        raise ValueError(f"{path.name} is altered (its digest does not agree)")
    if known is None:
        _remember(path, status, digest)
