"""The store as everybody uses it.

A stage is written aside and renamed into place, so that it is there as a whole or not at all. Several processes, on
one node or on a shared file system, may read and write a store at once.
"""

import errno
import json
import logging
import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dmt_ray.errors import MissingStages, StoreError
from dmt_ray.plan import Stage
from dmt_ray.store import files, upkeep
from dmt_ray.store.claims import Claim, Claims, Running
from dmt_ray.store.files import explained
from dmt_ray.store.record import RECORD, FileNames, Record
from dmt_ray.store.shelf import DamagedStage, Place, Shelf, remember

log = logging.getLogger(__name__)

FORMAT = 1
POLL = 0.5  # seconds between two looks at a stage that another process computes
# What else may lie in the folder of a store, written by other parts of the project before the store is opened.
_NEIGHBOURS = {*upkeep.FOLDERS, "claims", "data", "sweeps", "mlflow.db", "mlruns-artifacts", "lost+found"}


class Store:
    """Stages on disk, found by their key.

    Args:
        folder: Where the store is or is to be. A store that is there already may be read-only: then it can be read.

    Raises:
        StoreError: If the folder is a file, holds something else than a store, has another format, or cannot be
            read or made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder).absolute()
        with files.explained(self.folder):
            _check_format(self.folder)
        self._shelf = Shelf(self.folder)
        self._claims = Claims(self.folder / "claims", self.folder / "aside")

    def __repr__(self) -> str:
        return f"Store({str(self.folder)!r})"

    def path(self, stage: Stage) -> Path:
        """The folder of a stage, whether it is there or not: stages/<operation>/<key>."""
        return self._place(stage).path

    def _place(self, stage: Stage) -> Place:
        return self._shelf.place(stage.operation.name, stage.key)

    # ---- reading ------------------------------------------------------------------------------------------------

    def has(self, stage: Stage, *, files: bool = False) -> bool:
        """Whether a stage is there; nothing is read but, with `files`, its record.

        Args:
            stage: The stage.
            files: Whether also all its files must be there, none evicted.
        """
        place = self._place(stage)
        if not files:
            return (place.path / RECORD).is_file()
        record = self._shelf.peek(place)
        return record is not None and not record.evicted

    def open(self, stage: Stage, *, files: bool = False) -> Path:
        """The folder of a stage, checked against its record: sizes and digests of the files.

        Args:
            stage: The stage.
            files: Whether evicted files are an error.

        Raises:
            MissingStages: If the stage is not there, or files of it are evicted and `files` asks for them.
            DamagedStage: If anything disagrees. The stage has then been moved to damaged/ and counts as missing.
            StoreError: If the store cannot be read.
        """
        place = self._place(stage)
        with explained(self.folder):
            record = self._shelf.intact(place)
        if files and record.evicted:
            raise MissingStages(
                f"{stage.name} lacks {', '.join(record.evicted)}, evicted to free space. Compute it again."
            )
        with suppress(OSError):  # when it was last read, for gc; a read-only store need not know
            os.utime(place.path / RECORD)
        return place.path

    def record(self, stage: Stage) -> Record:
        """The record of a stage, without a look at its files.

        Raises:
            MissingStages: If the stage is not there.
            DamagedStage: If the record is broken or not the stage's. The stage has then been moved to damaged/.
        """
        with explained(self.folder):
            return self._shelf.record(self._place(stage))

    def records(self) -> Iterator[Record]:
        """The records of all stages that have a readable one."""
        with explained(self.folder):
            places = list(self._shelf.places())
        return (record for place in places if (record := self._shelf.peek(place)) is not None)

    def remade(self) -> list[str]:
        """Stages whose inputs were computed again later, to other bytes (as happens on a GPU), a sentence each.

        Their results stand: they follow from inputs that were as good. They are named because nobody can follow them
        back to the files that are there now.
        """
        return [
            f"{record.operation}-{record.key} was made from an earlier computation of {name}"
            for record in self.records()
            for name in self._shelf.remade_inputs(record)
        ]

    def missing(self, targets: Iterable[Stage]) -> list[Stage]:
        """What has to be computed for these targets, inputs first.

        A target that is there needs nothing below it. A stage that has to be computed needs the files of its inputs:
        an input whose files are evicted is computed again, and so on down.
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
        is killed, nothing is left that could be taken for a stage.

        Args:
            stage: The stage.
            made: How it was made (seconds, host, versions, ...): any JSON. Read when the block ends, so that it can
                still be filled in inside the block. The store adds "when".

        Raises:
            StoreError: If the folder is read-only, the disk is full, or what was written are not plain files.
        """
        place = self._place(stage)
        aside = self.folder / "aside" / files.aside_name(stage.name)
        with explained(self.folder):
            aside.mkdir(parents=True)
            input_digests = self._input_digests(stage)
        try:
            with explained(self.folder, inside=aside):
                yield aside
            with explained(self.folder):
                self._commit(stage, place, aside, input_digests, made or {})
        finally:
            files.remove(aside)

    def _input_digests(self, stage: Stage) -> dict[str, str]:
        records = {name: self._shelf.peek(self._place(below)) for name, below in stage.inputs.items()}
        return {name: record.digest for name, record in records.items() if record is not None}

    def _commit(
        self, stage: Stage, place: Place, aside: Path, input_digests: dict[str, str], made: Mapping[str, Any]
    ) -> None:
        names = _plain_files(aside)
        for name in names:
            files.sync(aside / name)
        record = Record(
            key=stage.key,
            operation=stage.operation.name,
            revision=stage.operation.revision,
            config=stage.config.identity(),
            summary=str(stage.config),
            seed=stage.seed,
            inputs={name: below.key for name, below in stage.inputs.items()},
            input_digests=input_digests,
            files={name: files.digest(aside / name) for name in names},
            sizes={name: (aside / name).stat().st_size for name in names},
            evicted=(),
            made={**made, "when": datetime.now(UTC).isoformat(timespec="seconds")},
        )
        files.create(aside / RECORD, record.to_json())
        files.sync(aside / RECORD)
        files.sync(aside)
        if self._install(place, aside, record):
            for name, digest in record.files.items():
                with suppress(FileNotFoundError):
                    remember(place.path / name, digest)
        files.remove(self.folder / "scratch" / stage.name)

    def _install(self, place: Place, aside: Path, record: Record) -> bool:
        """Rename a folder into its place; False if there is an intact stage already."""
        place.path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                os.rename(aside, place.path)
                files.sync(place.path.parent)
                return True
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            try:
                there = self._shelf.intact(place)
            except (DamagedStage, MissingStages):  # its place is free now
                continue
            if not there.evicted:
                return False
            if there.files != record.files:
                log.warning(
                    "%s, whose files were evicted, came out different this time. What was made from the old files "
                    "stays, and verify() names it.",
                    place.name,
                )
            # As a whole, never file by file: gc may be evicting from the old folder.
            old = self.folder / "aside" / files.aside_name(place.name)
            with suppress(FileNotFoundError):
                os.rename(place.path, old)
            files.remove(old)

    def scratch(self, stage: Stage) -> Path:
        """A folder for what an interrupted stage goes on from; it outlives crashes, and goes with the writing."""
        folder = self.folder / "scratch" / self._place(stage).name
        with explained(self.folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    # ---- claims -------------------------------------------------------------------------------------------------

    @contextmanager
    def claim(self, stage: Stage, *, wait: bool = True) -> Iterator[Claim]:
        """Tell other processes that this one computes a stage, or wait while another does::

            with store.claim(stage) as claim:
                if claim.held:
                    ...
                    claim.beat(step, steps)

        After waiting, a claim that is not held means that the stage is there, with its files. A claim whose process
        has ended, or has given no sign of life for 30 seconds, is taken over.

        Args:
            stage: The stage.
            wait: Whether to wait for another process; if not, the claim may also be not held because of it.
        """
        inputs = [below.key for below in stage.inputs.values()]
        claim = None
        told = False
        while claim is None and not self.has(stage, files=True):
            with explained(self.folder):
                claim = self._claims.take(stage.key, stage.operation.name, inputs)
            if claim is not None and self.has(stage, files=True):  # finished between the two looks
                claim.release()
                claim = None
            elif claim is None:
                if not wait:
                    break
                if not told and (holder := self._claims.holder(stage.key)):
                    log.info("waiting for %s, which process %d on %s computes", stage.name, holder.pid, holder.host)
                    told = True
                time.sleep(POLL)
        with claim or self._claims.nothing() as held:
            yield held

    def running(self) -> list[Running]:
        """The stages that are being computed now, by any process, the longest-running first."""
        return self._claims.running()

    # ---- upkeep -------------------------------------------------------------------------------------------------

    def ls(self) -> list[upkeep.Row]:
        """What is in the store, sorted by operation and key."""
        with explained(self.folder):
            return upkeep.rows(self._shelf)

    def verify(self) -> list[str]:
        """Read every byte and check it; damaged stages are moved to damaged/, and their names returned."""
        with explained(self.folder):
            return upkeep.damaged(self._shelf)

    def gc(self, budget_bytes: int, keep: Iterable[Stage | str] = ()) -> upkeep.Freed:
        """Free space: remove what ended processes left behind, then evict large files until the budget is met.

        Pseudo-label maps go first, then weights, then example images; of each kind those whose stage was read longest
        ago. Records, histories, scores, summaries and metrics never go, nor anything of stages that are being
        computed or read by one that is. What was evicted is computed again when somebody needs it.

        Args:
            budget_bytes: Size in bytes that the store is to have at most.
            keep: Stages, or keys of stages, of which nothing is evicted.

        Raises:
            StoreError: If another process does the same now, or the store cannot be written.
        """
        keys = {one.key if isinstance(one, Stage) else one for one in keep}
        with explained(self.folder):
            return upkeep.tidy(self._shelf, self._claims, budget_bytes, keys)

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


def _check_format(folder: Path) -> None:
    mark = folder / "store.json"
    try:
        text = mark.read_bytes()
    except NotADirectoryError:
        raise StoreError(f"{folder} is a file. Pass a folder as --storage.") from None
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True)
        strangers = sorted(
            path.name for path in folder.iterdir() if path.name not in _NEIGHBOURS and not path.name.startswith(".")
        )
        if strangers and not mark.exists():
            raise StoreError(
                f"{folder} is not a store: it has no store.json, but holds {strangers[0]!r}. "
                f"Pass a new or empty folder as --storage."
            ) from None
        files.replace(mark, json.dumps({"format": FORMAT}) + "\n", folder / "aside")
        return
    try:
        found = json.loads(text)["format"]
    except (ValueError, TypeError, KeyError):
        raise StoreError(
            f'{mark} is broken. Pass another folder as --storage, or write {{"format": {FORMAT}}}.'
        ) from None
    if found != FORMAT:
        raise StoreError(
            f"the store {folder} has format {found!r}, but this version of dmt-ray reads format {FORMAT}. "
            f"Use the version that wrote it, or pass another folder as --storage."
        )
