"""Moves stages between a store and the object store that it shares with other machines.

Two folders beside the stages hold marks, a file <operation>-<key> each: pending_uploads/ for stages that are still to
be uploaded, rejected/ for stages whose copy in the object store is damaged.
"""

import logging
import shutil
import time
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from dmt_ray.errors import MissingStages, StoreError
from dmt_ray.store import files
from dmt_ray.store.leases import POLL, Leases
from dmt_ray.store.shared import Shared
from dmt_ray.store.stage_dirs import DamagedStage, StageDirs, StagePath
from dmt_ray.store.upkeep import Verified, in_turn

log = logging.getLogger(__name__)


class Exchange:
    """Downloads and uploads stages.

    Args:
        stage_dirs: The stages of this store.
        leases: Its leases.
        url: The object store (see `Shared`).
    """

    def __init__(self, stage_dirs: StageDirs, leases: Leases, url: str) -> None:
        self._stage_dirs = stage_dirs
        self._leases = leases
        self._shared = Shared(url)
        self.name = self._shared.name

    def has(self, stage_path: StagePath, *, afresh: bool = False) -> bool:
        """Whether a stage can be downloaded (see `Shared.has`)."""
        return self._shared.has(stage_path, afresh=afresh) and not self._rejection(stage_path).exists()

    def fetch(self, stage_path: StagePath, *, without: Collection[str]) -> None:
        """Download what this store lacks of a stage, if the object store has it; one process does, the others wait.

        Args:
            stage_path: The stage.
            without: Files that are not needed; they are left out and count as evicted here.

        Raises:
            DamagedStage: If the copy in the object store does not agree with its record. The stage then counts as
                missing until it is computed again.
            StoreError: If the server does not answer, or the disk has no room.
        """
        while not self._stage_dirs.is_here(stage_path, whole=not without) and not self._rejection(stage_path).exists():
            lease = self._leases.take(f"fetch-{stage_path.key}", "fetch")
            if lease is None:
                time.sleep(POLL)
                continue
            with lease:
                if not self._stage_dirs.is_here(stage_path, whole=not without):
                    self._download(stage_path, without)
                return

    def verify(self, share: float) -> Verified:
        """Download stages and check every byte (see `Store.verify_shared`)."""
        names = [self._stage_dirs.stage_path(operation, key) for operation, key in self._shared.stages()]
        return in_turn(self._stage_dirs, names, share, self._is_intact, self._shared.name)

    def _is_intact(self, stage_path: StagePath) -> bool:
        staging = self._stage_dirs.folder / "staging" / files.staging_name(stage_path.name)
        staging.mkdir(parents=True)
        try:
            record = self._shared.record(stage_path)
            if record is not None:
                self._check_room(stage_path, record.size)
                self._shared.get(stage_path, record, sorted(record.files), staging)
        except ValueError as fault:
            self._reject(stage_path, fault)
            return False
        finally:
            files.remove(staging)
        return True

    def _download(self, stage_path: StagePath, without: Collection[str]) -> None:
        staging = self._stage_dirs.folder / "staging" / files.staging_name(stage_path.name)
        try:
            record = self._shared.record(stage_path)
            if record is None:
                return
            left_out = tuple(sorted(record.files.keys() & set(without)))
            record = replace(record, evicted=left_out)
            self._check_room(stage_path, record.size)
            staging.mkdir(parents=True)
            self._shared.get(stage_path, record, sorted(record.files.keys() - set(left_out)), staging)
            self._stage_dirs.install(stage_path, staging, record)
        except ValueError as fault:
            raise DamagedStage(self._reject(stage_path, fault)) from None
        finally:
            files.remove(staging)

    def _reject(self, stage_path: StagePath, fault: ValueError) -> str:
        message = (
            f"{stage_path.name} in the shared store {self._shared.name} is damaged: {fault}. "
            f"It counts as missing until it has been computed again."
        )
        self._mark(self._rejection(stage_path), message)
        log.warning(message)
        return message

    def _check_room(self, stage_path: StagePath, size: int) -> None:
        free = shutil.disk_usage(self._stage_dirs.folder).free
        if size > free:
            raise StoreError(
                f"cannot fetch {stage_path.name}: it has {size} bytes, but {self._stage_dirs.folder} only has "
                f"room for {free}. Free space, or pass another folder as --storage."
            )

    def mark_pending(self, stage_path: StagePath) -> None:
        """Note that a stage is to be uploaded, so that an upload that is killed is done later."""
        self._mark(self._stage_dirs.pending_uploads / stage_path.name, "")

    def upload(self, stage_path: StagePath) -> bool:
        """Upload a pending stage. If that fails, it stays pending and the failure is only logged.

        Returns:
            Whether the server could be used.
        """
        try:
            self._upload(stage_path)
        except (MissingStages, DamagedStage):  # it becomes pending again when it has been computed again
            return True
        except OSError as error:
            log.warning("%s is kept in %s and uploaded later: %s", stage_path.name, self._stage_dirs.folder, error)
            return False
        (self._stage_dirs.pending_uploads / stage_path.name).unlink(missing_ok=True)
        return True

    def upload_pending(self) -> list[str]:
        """Upload all pending stages, and return the names of those that stay pending.

        A leased stage is left to the process that computes it; of several processes, one uploads the rest.
        """
        pending = self._stage_dirs.pending
        if pending() and (lease := self._leases.take("upload", "upload")):
            with lease:
                for stage_path in pending():
                    if self._leases.holder(stage_path.key) is None and not self.upload(stage_path):
                        break
        return [stage_path.name for stage_path in pending()]

    def _upload(self, stage_path: StagePath) -> None:
        rejection = self._rejection(stage_path)
        if not rejection.exists() and self._shared.has(stage_path, afresh=True):
            return
        record = self._stage_dirs.intact(stage_path)
        if record.evicted:
            log.warning("%s lacks %s and is not uploaded.", stage_path.name, ", ".join(record.evicted))
            return
        self._shared.put(stage_path, record, stage_path.folder)
        rejection.unlink(missing_ok=True)

    def _rejection(self, stage_path: StagePath) -> Path:
        return self._stage_dirs.folder / "rejected" / stage_path.name

    def _mark(self, path: Path, text: str) -> None:
        path.parent.mkdir(exist_ok=True)
        files.replace(path, text, self._stage_dirs.folder / "staging")
