"""The store as everybody uses it.

A stage is written aside and renamed into place, so that it is there as a whole or not at all. Several processes, on
one node or on a shared file system, may read and write a store at once. Machines without a common file system share
stages through an object store: each has a store of its own, uploads what it writes, and fetches what it lacks.
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

    With an object store, what is not in the folder is asked of it and fetched from it, and what is written is
    uploaded too. A server that does not answer is a StoreError where only it can tell; what is in the folder is read
    and written as ever, and uploaded later: by the next store that is opened on the folder, or after the next stage
    that could be uploaded.

    Args:
        folder: Where the store is or is to be. A store that is there already may be read-only: then it can be read.
        shared: URL of an object store that other machines use too: s3://bucket/prefix, gs://bucket/prefix,
            file:///folder, or what else `pyarrow.fs.FileSystem.from_uri` understands. Another server than Amazon's
            is named by ``?endpoint_override=host:port&scheme=http``. Credentials come from the environment.

    Raises:
        StoreError: If the folder is a file, holds something else than a store, has another format, or cannot be
            read or made; or if the URL is none or holds a password.
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
        """The folder of a stage, whether it is there or not: stages/<operation>/<key>. Only `open` fetches it."""
        return self._place(stage).path

    def _place(self, stage: Stage) -> StagePath:
        return self._stage_dirs.stage_path(stage.operation.name, stage.key)

    # ---- reading ------------------------------------------------------------------------------------------------

    def has(self, stage: Stage, *, files: bool = False, afresh: bool = False) -> bool:
        """Whether a stage is there; nothing is read but, with `files`, its record.

        That an object store does not have it may be known from a list of the last ten seconds, unless `afresh`.

        Args:
            stage: The stage.
            files: Whether also all its files must be there, none evicted.
            afresh: Whether an object store is asked now.

        Raises:
            StoreError: If it is not in the folder and the object store does not answer.
        """
        stage_path = self._place(stage)
        here = self._stage_dirs.is_here(stage_path, whole=True) if files else (stage_path.path / RECORD).is_file()
        return here or (self._exchange is not None and self._exchange.has(stage_path, afresh=afresh))

    def open(self, stage: Stage, *, files: bool = False) -> Path:
        """The folder of a stage, checked against its record: sizes of the files, and digests of what is needed.

        What is not here is fetched from the object store, if there is one. Without `files` the bytes of labels and
        weights are neither read nor fetched, so that a table of a thousand stages costs what its small files cost; if
        they stay in the object store they count as evicted here.

        Args:
            stage: The stage.
            files: Whether all files are needed: all are checked, evicted ones are fetched, or else an error.

        Raises:
            MissingStages: If the stage is not there, or files of it are evicted and `files` asks for them.
            DamagedStage: If anything disagrees. The stage has then been moved to damaged/ and counts as missing, or
                was not taken from the object store and counts as missing there.
            StoreError: If the store cannot be read, or the object store does not answer.
        """
        stage_path, unread = self._place(stage), () if files else stage.config.evictable.large
        with explained(self.folder):
            if self._exchange is not None:
                self._exchange.bring(stage_path, without=unread)
            record = self._stage_dirs.intact(stage_path, unread=unread)
        if files and record.evicted:
            raise MissingStages(
                f"{stage.name} lacks {', '.join(record.evicted)}, evicted to free space. Compute it again."
            )
        with suppress(OSError):  # when it was last read, for gc; a read-only store need not know
            os.utime(stage_path.path / RECORD)
        return stage_path.path

    def record(self, stage: Stage) -> Record:
        """The record of a stage, without a look at its files; fetched like in `open`, with the small files.

        Raises:
            MissingStages: If the stage is not there.
            DamagedStage: If the record is broken or not the stage's. The stage has then been moved to damaged/.
            StoreError: If the store cannot be read, or the object store does not answer.
        """
        stage_path = self._place(stage)
        with explained(self.folder):
            if self._exchange is not None:
                self._exchange.bring(stage_path, without=stage.config.evictable.large)
            return self._stage_dirs.record(stage_path)

    def records(self) -> Iterator[Record]:
        """The records of all stages in the folder that have a readable one; an object store is not asked."""
        with explained(self.folder):
            stage_paths = list(self._stage_dirs.stage_paths())
        return (record for stage_path in stage_paths if (record := self._stage_dirs.peek(stage_path)) is not None)

    def remade(self) -> list[str]:
        """Stages whose inputs were computed again later, to other bytes (as happens on a GPU), a sentence each.

        Their results stand: they follow from inputs that were as good. They are named because nobody can follow them
        back to the files that are there now.
        """
        return [
            f"{record.operation}-{record.key} was made from an earlier computation of {name}"
            for record in self.records()
            for name in self._stage_dirs.remade_inputs(record)
        ]

    def missing(self, targets: Iterable[Stage]) -> list[Stage]:
        """What has to be computed for these targets, inputs first.

        A target that is there needs nothing below it. A stage that has to be computed needs the files of its inputs:
        an input whose files are evicted, and in no object store, is computed again, and so on down.

        Raises:
            StoreError: If an object store is to be asked and does not answer. It is asked for at most one list of
                the stages of each operation.
        """
        answers: dict[tuple[Stage, bool], bool] = {}
        needed: dict[Stage, None] = {}

        def visit(stage: Stage, files: bool) -> None:
            if (stage, files) in answers:
                return
            answers[stage, files] = self.has(stage, files=files)
            if not answers[stage, files]:
                for below in stage.inputs.values():
                    visit(below, True)
                needed[stage] = None

        for target in targets:
            visit(target, False)
        return list(needed)

    # ---- writing ------------------------------------------------------------------------------------------------

    @contextmanager
    def write(self, stage: Stage, made: Mapping[str, Any] | None = None) -> Iterator[Path]:
        """A folder to write a stage's files into; it becomes the stage when the block ends, and only then.

        If another process was quicker, its stage stays and this one is dropped. If the block fails, or the process
        is killed, nothing is left that could be taken for a stage. With an object store the stage is uploaded before
        this returns; if that fails it is logged, and made up for later.

        Args:
            stage: The stage.
            made: How it was made (seconds, host, versions, ...): any JSON. Read when the block ends, so that it can
                still be filled in inside the block. The store adds "when".

        Raises:
            StoreError: If the folder is read-only, the disk is full, or what was written are not plain files.
        """
        stage_path = self._place(stage)
        staging = self.folder / "staging" / files.staging_name(stage.name)
        with explained(self.folder):
            staging.mkdir(parents=True)
            input_digests = self._input_digests(stage)
        try:
            with explained(self.folder, inside=staging):
                yield staging
            with explained(self.folder):
                self._commit(stage, stage_path, staging, input_digests, made or {})
        finally:
            files.remove(staging)
        if self._exchange is not None and self._exchange.give(stage_path):
            self.upload()

    def _input_digests(self, stage: Stage) -> dict[str, str]:
        records = {name: self._stage_dirs.peek(self._place(below)) for name, below in stage.inputs.items()}
        return {name: record.digest for name, record in records.items() if record is not None}

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
            self._exchange.promise(stage_path)
        self._stage_dirs.install(stage_path, staging, record)
        files.remove(self.folder / "scratch" / stage.name)

    def upload(self) -> list[str]:
        """Upload what was written while the object store did not answer, and return the names of what is left.

        Failures are logged. What other processes are at is left to them. Without an object store: nothing.
        """
        if self._exchange is None:
            return []
        with explained(self.folder):
            return self._exchange.give_left()

    def scratch(self, stage: Stage) -> Path:
        """A folder for what an interrupted stage goes on from; it outlives crashes, and goes with the writing."""
        folder = self.folder / "scratch" / self._place(stage).name
        with explained(self.folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    # ---- leases -------------------------------------------------------------------------------------------------

    @contextmanager
    def lease(self, stage: Stage, *, wait: bool = True) -> Iterator[Lease]:
        """Tell other processes that this one computes a stage, or wait while another does::

            with store.lease(stage) as lease:
                if lease.held:
                    ...
                    lease.beat(step, steps)

        After waiting, a lease that is not held means that the stage is there, with its files. A lease whose process
        has ended, or has given no sign of life for 30 seconds, is taken over.

        Leases are files in this folder: machines that share an object store alone do not see each other's. Before a
        lease is held the object store is asked for this stage, so that only work at the same time is done twice.

        Args:
            stage: The stage.
            wait: Whether to wait for another process; if not, the lease may also be not held because of it.
        """
        inputs = [below.key for below in stage.inputs.values()]
        lease = None
        told = False
        while lease is None and not self.has(stage, files=True):
            with explained(self.folder):
                lease = self._leases.take(stage.key, stage.operation.name, inputs)
            if lease is not None:
                try:
                    finished = self.has(stage, files=True, afresh=True)  # between the two looks
                except StoreError:
                    lease.release()
                    raise
                if finished:
                    lease.release()
                    lease = None
            else:
                if not wait:
                    break
                if not told and (holder := self._leases.holder(stage.key)):
                    log.info("waiting for %s, which process %d on %s computes", stage.name, holder.pid, holder.host)
                    told = True
                time.sleep(POLL)
        with lease or self._leases.nothing() as held:
            yield held

    def borrowed(self, lease_token: Mapping[str, Any]) -> Borrowed:
        """The lease of another process, to tell progress in it: `beat` writes it, and nothing here keeps it fresh.

        Whoever holds the lease keeps it fresh and releases it; then `beat` does nothing any more.

        Args:
            lease token: `Lease.lease token` of that process's lease. An empty one belongs to no lease.

        Raises:
            ValueError: If it is no lease token.
        """
        return self._leases.borrowed(lease_token)

    def running(self) -> list[Running]:
        """The stages that are being computed now, by any process, the longest-running first."""
        return self._leases.running()

    # ---- upkeep -------------------------------------------------------------------------------------------------

    def ls(self) -> list[upkeep.Row]:
        """What is in the folder, sorted by operation and key; an object store is not asked."""
        with explained(self.folder):
            return upkeep.rows(self._stage_dirs)

    def verify(self) -> list[str]:
        """Read every byte and check it; damaged stages are moved to damaged/, and their names returned.

        Only the folder is checked. What comes from an object store is checked when it is fetched.
        """
        with explained(self.folder):
            return upkeep.damaged(self._stage_dirs)

    def gc(self, budget_bytes: int, keep: Iterable[Stage | str] = ()) -> upkeep.Freed:
        """Free space: remove what ended processes left behind, then evict large files until the budget is met.

        What may go, and in which order, the operations say (`plan.Evictable`): pseudo-label maps first, then weights,
        then example images; of each kind those whose stage was read longest ago. Records, histories, scores, summaries
        and metrics never go, nor anything of stages that are being computed or read by one that is, nor of those still
        to be uploaded. What was evicted is fetched from the object store when somebody needs it, or else computed
        again. From the object store itself nothing is removed.

        Args:
            budget_bytes: Size in bytes that the store is to have at most.
            keep: Stages, or keys of stages, of which nothing is evicted.

        Raises:
            StoreError: If another process does the same now, or the store cannot be written.
        """
        keys = {one.key if isinstance(one, Stage) else one for one in keep}
        with explained(self.folder):
            return upkeep.gc(self._stage_dirs, self._leases, budget_bytes, keys, operations.evictable())

    def tidy(self) -> tuple[str, ...]:
        """Remove what ended processes left behind, quickly: for the end of a sweep.

        Stale leases; what lies aside for processes that have ended; scratch of stages that are there. Whether a
        process of another host has ended cannot be known. What lies aside for one goes if its stage has no fresh
        lease and is there as a whole already, or if nothing was written to it for 30 seconds.

        Returns:
            What went, as paths below the store. Nothing, if another process does the same now.
        """
        with explained(self.folder):
            return upkeep.tidy(self._stage_dirs, self._leases)

    def size(self) -> int:
        """Bytes of the stages and of all that lies around for them; decoded data and sweeps do not count."""
        with explained(self.folder):
            return upkeep.size(self.folder)


def _plain_files(folder: Path) -> list[str]:
    names = []
    for path in sorted(folder.iterdir()):
        if not stat.S_ISREG(path.lstat().st_mode) or not FileNames.fullmatch(path.name) or path.name == RECORD:
            raise StoreError(f"a stage holds plain files named by letters, digits and '._-', but got {path.name!r}")
        names.append(path.name)
    return names
