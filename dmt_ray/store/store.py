"""The store, as the rest of the package uses it.

A stage is written into staging/ and renamed, so that it exists as a whole or not at all. Several processes, on one node
or on a shared file system, may read and write a store at once. Machines without a common file system share stages
through an object store: each has a store of its own, uploads what it writes, and downloads what it lacks.
"""

import logging
import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmt_ray.errors import MissingStages, StoreError
from dmt_ray.plan import Stage, operations
from dmt_ray.store import files, format, upkeep
from dmt_ray.store.files import explained
from dmt_ray.store.leases import POLL, Borrowed, Lease, Leases, Running
from dmt_ray.store.record import RECORD, FileNames, Record
from dmt_ray.store.stage_dirs import StageDirs, StagePath

if TYPE_CHECKING:
    from dmt_ray.store.exchange import Exchange

log = logging.getLogger(__name__)


class Store:
    """Stages on disk, found by their key.

    With an object store, stages that are not in the folder are looked up and downloaded there, and new stages are
    uploaded. If the server does not answer, that is a StoreError only where its answer is needed. Stages in the folder
    are read and written as ever, and uploaded later: when a store is next opened on the folder, or after the next
    upload that succeeds.

    Args:
        folder: Where the store is or is to be. An existing store may be read-only.
        shared: URL of an object store that other machines use too: s3://bucket/prefix, gs://bucket/prefix,
            file:///folder, or what else `pyarrow.fs.FileSystem.from_uri` understands. Another server than Amazon's
            is named by ``?endpoint_override=host:port&scheme=http``. Credentials come from the environment.

    Raises:
        StoreError: If the folder is a file, holds something else than a store, has another format, or cannot be
            read or made; or if the URL is malformed or holds a password.
    """

    def __init__(self, folder: Path, shared: str | None = None) -> None:
        self.folder = Path(folder).absolute()
        with explained(self.folder):
            format.check(self.folder)
        self._stage_dirs = StageDirs(self.folder)
        self._leases = Leases(self.folder / "leases", self.folder / "staging")
        self._exchange: Exchange | None = None
        if shared is not None:
            from dmt_ray.store import exchange  # its import of pyarrow takes 0.2 s

            self._exchange = exchange.Exchange(self._stage_dirs, self._leases, shared)
            self.upload()

    def __repr__(self) -> str:
        return f"Store({str(self.folder)!r}{f', shared={self._exchange.name!r}' if self._exchange else ''})"

    def path(self, stage: Stage) -> Path:
        """The folder of a stage, whether it exists or not: stages/<operation>/<key>. Only `open` downloads it."""
        return self._stage_path(stage).folder

    def _stage_path(self, stage: Stage) -> StagePath:
        return self._stage_dirs.stage_path(stage.operation.name, stage.key)

    # ---- reading ------------------------------------------------------------------------------------------------

    def has(self, stage: Stage, *, files: bool = False, afresh: bool = False) -> bool:
        """Whether the store has a stage; at most its record is read.

        Args:
            stage: The stage.
            files: Whether it must have all its files, none evicted.
            afresh: Whether to ask now, instead of trusting what a network file system remembers, and a list of the
                object store's stages that is at most ten seconds old.

        Raises:
            StoreError: If it is not in the folder and the object store does not answer.
        """
        stage_path = self._stage_path(stage)
        with explained(self.folder):
            if afresh:
                self._stage_dirs.refresh(stage_path)
            here = self._stage_dirs.is_here(stage_path, whole=True) if files else (stage_path.folder / RECORD).is_file()
            return here or (self._exchange is not None and self._exchange.has(stage_path, afresh=afresh))

    def open(self, stage: Stage, *, files: bool = False) -> Path:
        """The folder of a stage, checked against its record: sizes of the files, and digests of what is needed.

        What the folder lacks is downloaded from the object store, if there is one. Without `files` the bytes of labels
        and weights are neither read nor downloaded, so that a table of a thousand stages reads only small files; if
        they stay in the object store they count as evicted here.

        Args:
            stage: The stage.
            files: Whether all files are needed: all are checked, and evicted ones are downloaded or an error.

        Raises:
            MissingStages: If the store lacks the stage, or with `files` some of its files.
            DamagedStage: If anything disagrees with the record. The stage has then been moved to damaged/ and counts as
                missing, or was rejected from the object store and counts as missing there.
            StoreError: If the store cannot be read, or the object store does not answer.
        """
        stage_path, unread = self._stage_path(stage), () if files else stage.config.evictable.large
        with explained(self.folder):
            if self._exchange is not None:
                self._exchange.fetch(stage_path, without=unread)
            record = self._stage_dirs.intact(stage_path, unread=unread)
        if files and record.evicted:
            raise MissingStages(
                f"{stage.name} lacks {', '.join(record.evicted)}, evicted to free space. Compute it again."
            )
        with suppress(OSError):  # the time of its last use, for gc; in a read-only store it does not matter
            os.utime(stage_path.folder / RECORD)
        return stage_path.folder

    def record(self, stage: Stage) -> Record:
        """The record of a stage; its files are not checked. Downloaded as in `open`, with the small files.

        Raises:
            MissingStages: If the store lacks the stage.
            DamagedStage: If the record is broken or another stage's. The stage has then been moved to damaged/.
            StoreError: If the store cannot be read, or the object store does not answer.
        """
        stage_path = self._stage_path(stage)
        with explained(self.folder):
            if self._exchange is not None:
                self._exchange.fetch(stage_path, without=stage.config.evictable.large)
            return self._stage_dirs.record(stage_path)

    def records(self) -> Iterator[Record]:
        """The readable records of the stages in the folder; no object store is used."""
        with explained(self.folder):
            stage_paths = list(self._stage_dirs.stage_paths())
        return (record for stage_path in stage_paths if (record := self._stage_dirs.peek(stage_path)) is not None)

    def remade(self) -> list[str]:
        """Stages whose inputs were computed again later, to other bytes (as happens on a GPU), a sentence each.

        Their results stand: their inputs were as good. But they do not follow from the files that the store has now.
        """
        return [
            f"{record.operation}-{record.key} was made from an earlier computation of {name}"
            for record in self.records()
            for name in self._stage_dirs.remade_inputs(record)
        ]

    def missing(self, targets: Iterable[Stage]) -> list[Stage]:
        """The stages to compute for these targets, inputs first.

        A stage in the store needs the records of all that it was made from, which tables and audits read: one that was
        found damaged and moved away is computed again. A stage to compute needs the files of its inputs: an input
        whose files are evicted, and in no object store, is computed again, and so on down.

        Raises:
            StoreError: If an object store is needed and does not answer. At most one list of the stages of each
                operation is requested.
        """
        answers: dict[tuple[Stage, bool], bool] = {}
        needed: dict[Stage, None] = {}

        def visit(stage: Stage, files: bool) -> None:
            if (stage, files) in answers:
                return
            there = answers[stage, files] = self.has(stage, files=files)
            for below in stage.inputs.values():
                visit(below, not there)
            if not there:
                needed[stage] = None

        for target in targets:
            visit(target, False)
        return list(needed)

    # ---- writing ------------------------------------------------------------------------------------------------

    @contextmanager
    def write(self, stage: Stage, made: Mapping[str, Any] | None = None) -> Iterator[Path]:
        """A folder to write a stage's files into; it becomes the stage when the block ends, and only then.

        If another process was quicker, its stage stays and this one is dropped. If the block fails, or the process
        is killed, no part of a stage is left. With an object store the stage is uploaded before this returns; an upload
        that fails is logged and done later.

        Args:
            stage: The stage.
            made: How it was made (seconds, host, versions, ...): any JSON. It is read when the block ends, so that the
                block can still fill it in. The store adds "when".

        Raises:
            StoreError: If the folder is read-only, the disk is full, or something other than plain files was written.
        """
        stage_path = self._stage_path(stage)
        staging = self.folder / "staging" / files.staging_name(stage.name)
        with explained(self.folder):
            staging.mkdir(parents=True)
            inputs = {name: self._stage_dirs.peek(self._stage_path(below)) for name, below in stage.inputs.items()}
            input_digests = {name: record.digest for name, record in inputs.items() if record is not None}
        try:
            with explained(self.folder, inside=staging):
                yield staging
            with explained(self.folder):
                self._commit(stage, stage_path, staging, input_digests, made or {})
        finally:
            files.remove(staging)
        if self._exchange is not None and self._exchange.upload(stage_path):
            self.upload()

    def _commit(
        self, stage: Stage, stage_path: StagePath, staging: Path, input_digests: dict[str, str], made: Mapping[str, Any]
    ) -> None:
        names = _plain_files(staging)
        for name in names:
            files.sync(staging / name)
        record = Record(
            key=stage.key,
            operation=stage.operation.name,
            revision=stage.operation.revision,
            config=stage.config.identity(),
            summary=str(stage.config),
            seed=stage.seed,
            inputs={name: below.key for name, below in stage.inputs.items()},
            input_digests=input_digests,
            files={name: files.digest(staging / name) for name in names},
            sizes={name: (staging / name).stat().st_size for name in names},
            evicted=(),
            made={**made, "when": datetime.now(UTC).isoformat(timespec="seconds")},
        )
        if self._exchange is not None:
            self._exchange.mark_pending(stage_path)
        self._stage_dirs.install(stage_path, staging, record)
        files.remove(self.folder / "scratch" / stage.name)

    def upload(self) -> list[str]:
        """Upload stages whose upload failed or was killed, and return the names of those that are still pending.

        Failures are logged. Stages that other processes compute are left to them. No object store: nothing to do.
        """
        if self._exchange is None:
            return []
        with explained(self.folder):
            return self._exchange.upload_pending()

    def scratch(self, stage: Stage) -> Path:
        """A folder for the checkpoints of a stage; it outlives crashes, and is removed when the stage is written."""
        folder = self.folder / "scratch" / self._stage_path(stage).name
        with explained(self.folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    # ---- leases -------------------------------------------------------------------------------------------------

    @contextmanager
    def lease(self, stage: Stage, *, wait: bool = True) -> Iterator[Lease]:
        """Announce that this process computes a stage, or wait while another one does::

            with store.lease(stage) as lease:
                if lease.held:
                    ...
                    lease.beat(step, steps)

        After waiting, a lease that is not held means that the store has the stage, with its files. A lease whose
        process has ended, or has given no sign of life for 30 seconds and gives none for 15 more, is taken over.

        Leases are files in this folder: machines that only share an object store do not see each other's. Before a
        lease is held the stage is looked up in the object store, so that only simultaneous work is done twice.

        Args:
            stage: The stage.
            wait: Whether to wait while another process holds the lease. If not, it may be why this one is not held.
        """
        inputs = [below.key for below in stage.inputs.values()]
        logged = False
        while not self.has(stage, files=True):
            with explained(self.folder):
                lease = self._leases.take(stage.key, stage.operation.name, inputs)
            if lease is not None:
                with lease:
                    if not self.has(stage, files=True, afresh=True):  # since the last look
                        yield lease
                        return
            elif not wait:
                break
            else:
                if not logged and (holder := self._leases.holder(stage.key)):
                    log.warning("waiting for %s, which %s", stage.name, holder.holder)
                    logged = True
                time.sleep(POLL)
        yield self._leases.nothing()

    def borrowed(self, lease_token: Mapping[str, Any]) -> Borrowed:
        """The lease of another process, to report progress in it with `beat`.

        Its holder keeps it fresh and releases it; after that, `beat` does nothing.

        Args:
            lease_token: `Lease.lease_token` of the holder. An empty one belongs to no lease.

        Raises:
            ValueError: If it is not a lease token.
        """
        return self._leases.borrowed(lease_token)

    def running(self) -> list[Running]:
        """The stages that are being computed now, by any process, the longest-running first."""
        return self._leases.running()

    # ---- upkeep -------------------------------------------------------------------------------------------------

    def ls(self) -> list[upkeep.Row]:
        """The stages in the folder, sorted by operation and key; no object store is used."""
        with explained(self.folder):
            return upkeep.rows(self._stage_dirs)

    def verify(self, share: float = 1.0) -> upkeep.Verified:
        """Read every byte of the stages in the folder and check it; damaged stages are moved to damaged/.

        Args:
            share: Share of the stages, in ``(0, 1]``: those that were read longest ago, so that repeated calls get
                round to all of them.
        """
        with explained(self.folder):
            return upkeep.verify(self._stage_dirs, share)

    def verify_shared(self, share: float = 1.0) -> upkeep.Verified:
        """Download stages from the object store and check every byte; a damaged one counts as missing.

        Nothing is removed there; the stage is uploaded again when it has been computed again.

        Args:
            share: As in `verify`.

        Raises:
            ValueError: If this store has no object store.
            StoreError: If it does not answer.
        """
        if self._exchange is None:
            raise ValueError(f"{self} has no object store")
        with explained(self.folder):
            return self._exchange.verify(share)

    def gc(
        self, budget_bytes: int, keep: Iterable[Stage | str] = (), first: Mapping[str, str] | None = None
    ) -> upkeep.Freed:
        """Free space: remove what ended processes left behind, then evict large files until the budget is met.

        What may go, and in which order, the operations say (`plan.Evictable`): pseudo-label maps, then weights, then
        example images; of each kind those whose stage was read longest ago. Records, histories, scores, summaries and
        metrics are never evicted, nor any file of a stage that is being computed, is an input of such a stage, or is
        still to be uploaded. When an evicted file is needed it is downloaded from the object store or computed again.
        The object store itself keeps everything.

        Args:
            budget_bytes: Largest size of the store in bytes, 0 or more.
            keep: Stages, or keys of stages, of which nothing is evicted.
            first: Key -> digest of the record, of stages that were shown to come back byte by byte: they go before
                all others.

        Raises:
            StoreError: If another process is doing the same, or the store cannot be written.
        """
        keys = {stage.key if isinstance(stage, Stage) else stage for stage in keep}
        with explained(self.folder):
            kinds = operations.evictable()
            return upkeep.gc(self._stage_dirs, self._leases, budget_bytes, keys, kinds, first or {})

    def tidy(self) -> tuple[str, ...]:
        """Remove what ended processes left behind, quickly: for the end of a sweep.

        That is: expired leases, staging folders of ended processes, and scratch folders of stages that the store has.
        Whether a process of another host has ended cannot be known. Its staging folder is removed if its stage has no
        lease, and either the store has the whole stage or nothing was written for 30 seconds. If there are leases that
        look expired, it takes 15 seconds to be certain of that.

        Returns:
            What was removed, as paths below the store. Empty if another process is doing the same.
        """
        with explained(self.folder):
            return upkeep.tidy(self._stage_dirs, self._leases)

    def size(self) -> int:
        """Bytes of all stages, scratch, staging and damaged ones; decoded data and sweeps do not count."""
        with explained(self.folder):
            return upkeep.size(self.folder)


def _plain_files(folder: Path) -> list[str]:
    names = []
    for path in sorted(folder.iterdir()):
        if not stat.S_ISREG(path.lstat().st_mode) or not FileNames.fullmatch(path.name) or path.name == RECORD:
            raise StoreError(f"a stage holds plain files named by letters, digits and '._-', but got {path.name!r}")
        names.append(path.name)
    return names
