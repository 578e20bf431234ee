"""A table as an audit sees it: its recorded stages, in a storage folder or in a bundle."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from dmt_ray.errors import MissingStages
from dmt_ray.experiments import audit_file, bundle, experiment_file
from dmt_ray.experiments.members import members_of, stages_of
from dmt_ray.plan import Stage
from dmt_ray.store import DamagedStage, Record, Store

FOLDER = "audits"  # of a storage folder: what is computed again, a folder for each table


@dataclass(frozen=True)
class Audited:
    """A table as an audit sees it.

    Attributes:
        name: Its full name.
        records: Its stages that were computed, inputs first, and what is recorded of them.
        planned: How many stages it is to have.
        storage: Folder of the store that has the files; None: only what `results` holds is there.
        results: Without a store: name of a stage -> its small files.
        file: Where the outcome is kept.
        work: Folder for what is computed.
        data: Folder of the data set; None: below the variable DMT_DATA.
    """

    name: str
    records: Mapping[Stage, Record]
    planned: int
    storage: Path | None
    file: Path
    work: Path
    data: Path | None
    results: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.records:
            raise MissingStages(f"nothing of {self.name} is computed yet, so there is nothing to compute again")

    @classmethod
    def of_folder(cls, folder: Path, work: Path | None, data: Path | None) -> "Audited":
        """The table in the folder of an experiment.

        Raises:
            MissingStages: If nothing of it is computed.
        """
        file, store = experiment_file.read(folder), Store(folder.parents[1])
        stages = stages_of(members_of(file, folder))
        records = dict(_records(store, stages))
        work = work or store.folder / FOLDER / folder.name
        data = data or _folder_of(file.data)
        return cls(folder.name, records, len(stages), store.folder, folder / audit_file.NAME, work, data)

    @classmethod
    def of_bundle(cls, path: Path, work: Path, data: Path | None, changes: Sequence[str] = ()) -> "Audited":
        """The table in a bundle, whose stages are computed from nothing; see `bundle.read` for `changes` and errors."""
        content = bundle.read(path, changes)
        file = work / audit_file.NAME
        return cls(content.name, content.records, content.planned, None, file, work, data, content.results)

    @cached_property
    def store(self) -> Store | None:
        """The store that has the files, if there is one."""
        return None if self.storage is None else Store(self.storage)

    def recorded(self, stage: Stage, name: str) -> bytes | None:
        """A file of a stage as it was recorded; None: it is not here."""
        if self.store is None:
            return self.results.get(stage.name, {}).get(name)
        try:
            return (self.store.path(stage) / name).read_bytes()
        except FileNotFoundError:
            return None

    def digests(self) -> dict[Stage, str]:
        """Each stage -> the digest in its record."""
        return {stage: record.digest for stage, record in self.records.items()}


def _folder_of(data: Path | None) -> Path | None:
    return data if data is not None and data.is_dir() else None


def _records(store: Store, stages: Sequence[Stage]) -> Iterator[tuple[Stage, Record]]:
    for stage in stages:
        if store.has(stage):
            try:
                yield stage, store.record(stage)
            except (DamagedStage, MissingStages):  # which is logged; it is quarantined and has to be computed anew
                continue
