"""experiment.json: what an experiment is, so that it can be read without the script that began it.

One format for the three kinds: a sweep lies in sweeps/<name>/ of the storage folder, an ablation in ablations/<name>/,
a single run in runs/<name>/. Earlier versions wrote sweep.json, ablation.json and experiments/<name>.json; these are
read as well, and give way to experiment.json when the experiment goes on.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from dmt_ray.errors import StoreError
from dmt_ray.experiments.ablation import Ablation, Cell
from dmt_ray.experiments.run import Run
from dmt_ray.experiments.sweep import Sweep
from dmt_ray.files import write_text
from dmt_ray.methods import METHODS, stored_config
from dmt_ray.methods.space import from_json, to_json
from dmt_ray.store.provenance import git, versions

NAME = "experiment.json"
FAILED = "failed.json"  # of an ablation: the stages that failed in the last start

Kind = Literal["sweep", "ablation", "run"]
FOLDERS: Mapping[Kind, str] = {"sweep": "sweeps", "ablation": "ablations", "run": "runs"}
_EARLIER: Mapping[str, Kind] = {"sweep.json": "sweep", "ablation.json": "ablation"}
_EARLIER_RUNS = "experiments"  # a file each, which is the run's name
_EARLIER_KEYS = {"about": "dataset_info", "outcomes": "extra_metrics"}

Experiment = Sweep | Ablation | Run


@dataclass(frozen=True)
class ExperimentFile:
    """An experiment, and what it takes to go on with it, to repeat a part of it, and to show it to people.

    Attributes:
        experiment: The sweep, ablation or run.
        storage: Folder of the results.
        data: Folder of the data set, where one was given.
        recipe: Recipe as it was given; each cell of an ablation has its own.
        changes: Overrides of it, as they were given.
        trials: Trials in all, of a sweep.
        dataset_info: Names, colours and splits (`DatasetInfo.to_json`); of an ablation by column, and by
            "column / row" for a row whose splits differ from the reference's.
        command: The command line.
    """

    experiment: Experiment
    storage: Path
    data: Path | None = None
    recipe: str = ""
    changes: tuple[str, ...] = ()
    trials: int = 0
    dataset_info: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""

    @property
    def kind(self) -> Kind:
        """Which of the three."""
        return (
            "sweep" if isinstance(self.experiment, Sweep) else "run" if isinstance(self.experiment, Run) else "ablation"
        )

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return folder_of(self.storage, self.experiment)

    @property
    def sweep(self) -> Sweep:
        """The sweep.

        Raises:
            StoreError: If it is none.
        """
        if not isinstance(self.experiment, Sweep):
            raise StoreError(f"{self.experiment.name} is no sweep")
        return self.experiment

    @property
    def ablation(self) -> Ablation:
        """The ablation.

        Raises:
            StoreError: If it is none.
        """
        if not isinstance(self.experiment, Ablation):
            raise StoreError(f"{self.experiment.name} is no ablation")
        return self.experiment

    @property
    def run(self) -> Run:
        """The run.

        Raises:
            StoreError: If it is none.
        """
        if not isinstance(self.experiment, Run):
            raise StoreError(f"{self.experiment.name} is no run")
        return self.experiment

    def dataset_info_of(self, cell: Cell) -> Mapping[str, Any] | None:
        """Names, colours and splits of an ablation's cell; None where they are not known."""
        known: Mapping[str, Mapping[str, Any]] = self.dataset_info
        return known.get(f"{cell.column} / {cell.row}", known.get(cell.column))


def folder_of(storage: Path, experiment: Experiment) -> Path:
    """The folder of an experiment."""
    kind: Kind = "sweep" if isinstance(experiment, Sweep) else "run" if isinstance(experiment, Run) else "ablation"
    return storage / FOLDERS[kind] / experiment.name.replace("/", "-")


def kind_of(folder: Path) -> Kind | None:
    """What kind of experiment a folder holds; None: it holds none."""
    for name, kind in _EARLIER.items():
        if (folder / name).is_file():
            return kind
    try:
        kind = json.loads((folder / NAME).read_text(encoding="utf-8"))["kind"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return kind if kind in FOLDERS else None


def write(folder: Path, file: ExperimentFile) -> None:
    """Write the file into a folder, and beside its content the versions of everything."""
    one = file.experiment
    content: dict[str, Any] = {
        "kind": file.kind,
        "name": one.name,
        "storage": str(file.storage),
        "data": None if file.data is None else str(file.data),
        "recipe": file.recipe,
        "changes": file.changes,
        "trials": file.trials,
        "dataset_info": file.dataset_info,
        "command": file.command,
        "versions": versions(),
        "git": git(),
        **_values(one),
    }
    write_text(folder / NAME, json.dumps(content, indent=1) + "\n")
    for name in _EARLIER:
        (folder / name).unlink(missing_ok=True)


def read(folder: Path) -> ExperimentFile:
    """The experiment of a folder.

    Raises:
        StoreError: If its file is missing or describes no experiment.
    """
    return _read(next((path for name in (NAME, *_EARLIER) if (path := folder / name).is_file()), folder / NAME))


def saved_runs(storage: Path) -> Iterator[ExperimentFile]:
    """The single runs of a storage folder, by name."""
    files = [*(storage / FOLDERS["run"]).glob(f"*/{NAME}"), *(storage / _EARLIER_RUNS).glob("*.json")]
    found = {file.experiment.name: file for file in map(_read, sorted(files, reverse=True))}
    return iter([found[name] for name in sorted(found)])


def content_of(folder: Path) -> Mapping[str, Any]:
    """The file as JSON values, with the names of this version; for its versions and commit."""
    return _load(next(path for name in (NAME, *_EARLIER) if (path := folder / name).is_file()))


def _load(path: Path) -> dict[str, Any]:
    values = json.loads(path.read_text(encoding="utf-8"))
    return {_EARLIER_KEYS.get(name, name): value for name, value in values.items()}


def _read(path: Path) -> ExperimentFile:
    try:
        content = _load(path)
        kind = content.get("kind") or _EARLIER.get(path.name, "run")
        return ExperimentFile(
            _from_values(kind, content),
            Path(content["storage"]) if "storage" in content else path.parents[1],
            None if content.get("data") is None else Path(content["data"]),
            content.get("recipe", ""),
            tuple(content.get("changes", ())),
            content.get("trials", 0),
            content["dataset_info"],
            content.get("command", ""),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} does not describe an experiment: {error}") from None


def _values(one: Experiment | Cell) -> dict[str, Any]:
    """The fields of a dataclass as JSON values."""
    values = {each.name: getattr(one, each.name) for each in fields(one)}
    if "config" in values:
        values["config"] = values["config"].model_dump(mode="json")
    if isinstance(one, Sweep):
        values["space"] = {setting: to_json(dimension) for setting, dimension in one.space.items()}
        values["known"] = [dict(point) for point in one.known]
    if isinstance(one, Ablation):
        values["cells"] = [_values(cell) for cell in one.cells]
    return values


def _known(kind: type[Experiment | Cell], content: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a dataclass among JSON values; what early versions lack has its default."""
    values = {each.name: content[each.name] for each in fields(kind) if each.name in content}
    values |= {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    if "config" in content:
        values["config"] = stored_config(METHODS[content["method"]], content["config"])
    return values


def _from_values(kind: Kind, content: Mapping[str, Any]) -> Experiment:
    if kind == "sweep":
        space = {setting: from_json(values) for setting, values in content["space"].items()}
        return Sweep(**_known(Sweep, content) | {"space": space})
    if kind == "ablation":
        return Ablation(
            **_known(Ablation, content) | {"cells": tuple(Cell(**_known(Cell, one)) for one in content["cells"])}
        )
    return Run(**_known(Run, content))


def write_failed(folder: Path, failed: Mapping[str, str]) -> None:
    """Write down which stages failed in the last start: name of the stage -> why."""
    write_text(folder / FAILED, json.dumps(dict(failed), indent=1) + "\n")


def read_failed(folder: Path) -> dict[str, str]:
    """Name of the stage -> why it failed in the last start."""
    try:
        failed: dict[str, str] = json.loads((folder / FAILED).read_text(encoding="utf-8"))
        return failed
    except FileNotFoundError:
        return {}
