"""experiment.json: what an experiment is, so that it can be read without the script that started it.

One format for the three kinds: a sweep lies in sweeps/<name>/ of the storage folder, an ablation in ablations/<name>/,
a single run in runs/<name>/. Earlier versions wrote sweep.json, ablation.json and experiments/<name>.json; these are
read as well, and give way to experiment.json when the experiment goes on.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from dmt_ray.errors import StoreError
from dmt_ray.experiments.ablation import Ablation, Cell
from dmt_ray.experiments.run import Run
from dmt_ray.experiments.sweep import Sweep
from dmt_ray.files import read_json, write_text
from dmt_ray.methods import METHODS, stored_config
from dmt_ray.methods.space import from_json, to_json
from dmt_ray.store.provenance import git, versions

NAME = "experiment.json"
FAILED = "failed.json"  # of an ablation: the stages that failed in the last start

Kind = Literal["sweep", "ablation", "run"]
FOLDERS: Mapping[Kind, str] = {"sweep": "sweeps", "ablation": "ablations", "run": "runs"}
_EARLIER: Mapping[str, Kind] = {"sweep.json": "sweep", "ablation.json": "ablation"}
_EARLIER_RUNS = "experiments"  # a file each, which is the run's name
_EARLIER_KEYS: Mapping[str, str] = {"about": "dataset_info", "outcomes": "extra_metrics"}

Experiment = Sweep | Ablation | Run
_KINDS: Mapping[Kind, type[Experiment]] = {"sweep": Sweep, "ablation": Ablation, "run": Run}
Some = TypeVar("Some", Sweep, Ablation, Run)


@dataclass(frozen=True)
class ExperimentFile:
    """An experiment, and what is needed to resume it, to reproduce part of it, and to show it to people."""

    experiment: Experiment
    storage: Path  # folder of the results
    data: Path | None = None  # folder of the data set, where one was given
    recipe: str = ""  # as it was given; each cell of an ablation has its own
    changes: tuple[str, ...] = ()  # overrides of it, as they were given
    trials: int = 0  # in all, of a sweep
    # Names, colours and splits (`DatasetInfo.to_json`); of an ablation by column, and by "column / row" for a row whose
    # splits differ from the reference's.
    dataset_info: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""

    @property
    def kind(self) -> Kind:
        """Which of the three kinds it is."""
        return next(kind for kind, one in _KINDS.items() if isinstance(self.experiment, one))

    @property
    def folder(self) -> Path:
        """Its folder."""
        return self.storage / FOLDERS[self.kind] / self.experiment.name.replace("/", "-")

    @property
    def sweep(self) -> Sweep:
        """The sweep; raises a StoreError if it is not one."""
        return self._as(Sweep)

    @property
    def ablation(self) -> Ablation:
        """The ablation; raises a StoreError if it is not one."""
        return self._as(Ablation)

    @property
    def run(self) -> Run:
        """The run; raises a StoreError if it is not one."""
        return self._as(Run)

    def _as(self, kind: type[Some]) -> Some:
        if not isinstance(self.experiment, kind):
            raise StoreError(f"{self.experiment.name} is no {kind.__name__.lower()}")
        return self.experiment

    def dataset_info_of(self, cell: Cell) -> Mapping[str, Any] | None:
        """Names, colours and splits of an ablation's cell; None where unknown."""
        known: Mapping[str, Mapping[str, Any]] = self.dataset_info
        return known.get(f"{cell.column} / {cell.row}", known.get(cell.column))


def kind_of(folder: Path) -> Kind | None:
    """The kind of experiment in a folder; None if there is none."""
    try:
        kind = _EARLIER.get(_path(folder).name) or read_json(_path(folder))["kind"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return kind if kind in FOLDERS else None


def write(folder: Path, file: ExperimentFile) -> None:
    """Write the file into a folder, in place of one of an earlier version, and in it the versions of everything."""
    content = {each.name: getattr(file, each.name) for each in fields(file) if each.name != "experiment"} | {
        "kind": file.kind,
        "name": file.experiment.name,
        "storage": str(file.storage),
        "data": None if file.data is None else str(file.data),
        "versions": versions(),
        "git": git(),
        **_values(file.experiment),
    }
    write_text(folder / NAME, json.dumps(content, indent=1) + "\n")
    for path in (*(folder / name for name in _EARLIER), folder.parents[1] / _EARLIER_RUNS / f"{folder.name}.json"):
        path.unlink(missing_ok=True)


def read(folder: Path) -> ExperimentFile:
    """The experiment of a folder.

    Raises:
        StoreError: If its file is missing or describes no experiment.
    """
    return _read(_path(folder))


def saved_runs(storage: Path) -> Iterator[ExperimentFile]:
    """The single runs of a storage folder, by name."""
    files = [*(storage / _EARLIER_RUNS).glob("*.json"), *(storage / FOLDERS["run"]).glob(f"*/{NAME}")]
    runs = {file.experiment.name: file for file in map(_read, files)}
    yield from (runs[name] for name in sorted(runs))


def content_of(folder: Path) -> Mapping[str, Any]:
    """The file as JSON values, with the names of this version; for its versions and commit."""
    return _load(_path(folder))


def _path(folder: Path) -> Path:
    return next((path for name in (NAME, *_EARLIER) if (path := folder / name).is_file()), folder / NAME)


def _load(path: Path) -> dict[str, Any]:
    values: Any = read_json(path)
    if not isinstance(values, dict):
        raise ValueError("it holds no settings by name")
    return {_EARLIER_KEYS.get(name, name): value for name, value in values.items()}


def _read(path: Path) -> ExperimentFile:
    try:
        content = _load(path)
        return ExperimentFile(
            _from_values(content.get("kind") or _EARLIER.get(path.name, "run"), content),
            Path(content["storage"]) if "storage" in content else path.parents[1],
            None if content.get("data") is None else Path(content["data"]),
            content.get("recipe", ""),
            tuple(content.get("changes", ())),
            content.get("trials", 0),
            content["dataset_info"],
            content.get("command", ""),
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise StoreError(f"{path} does not describe an experiment: {error}") from None


def _values(item: Experiment | Cell) -> dict[str, Any]:
    """The fields of a dataclass as JSON values."""
    values = {each.name: getattr(item, each.name) for each in fields(item)}
    if "config" in values:
        values["config"] = values["config"].model_dump(mode="json")
    if isinstance(item, Sweep):
        values["space"] = {setting: to_json(dimension) for setting, dimension in item.space.items()}
        values["known"] = [dict(point) for point in item.known]
    if isinstance(item, Ablation):
        values["cells"] = [_values(cell) for cell in item.cells]
    return values


def _from_values(kind: Kind, content: Mapping[str, Any]) -> Experiment:
    further: dict[str, Any] = {}
    if kind == "sweep":
        further = {"space": {setting: from_json(values) for setting, values in content["space"].items()}}
    if kind == "ablation":
        further = {"cells": tuple(Cell(**_fields(Cell, cell)) for cell in content["cells"])}
    return _KINDS[kind](**_fields(_KINDS[kind], content) | further)


def _fields(kind: type[Experiment | Cell], content: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a dataclass from JSON values; fields that early versions lack get their defaults."""
    values = {each.name: content[each.name] for each in fields(kind) if each.name in content}
    values |= {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    if "config" in content:
        values["config"] = stored_config(METHODS[content["method"]], content["config"])
    return values


def write_failed(folder: Path, failed: Mapping[str, str]) -> None:
    """Record which stages failed in the last start: name of the stage -> why."""
    write_text(folder / FAILED, json.dumps(dict(failed), indent=1) + "\n")


def read_failed(folder: Path) -> dict[str, str]:
    """Name of the stage -> why it failed in the last start.

    Raises:
        StoreError: If the file cannot be read.
    """
    path = folder / FAILED
    try:
        return {str(name): str(why) for name, why in read_json(path).items()} if path.exists() else {}
    except (OSError, ValueError, AttributeError) as error:
        raise StoreError(
            f"{path} cannot be read: {error}. Remove it: the next start of the ablation writes it again"
        ) from None
