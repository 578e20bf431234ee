"""ablation.json: what an ablation is, so that it can be tabulated without the script that asked for it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dmt_ray.config import Config
from dmt_ray.errors import StoreError
from dmt_ray.experiments.ablation import Ablation, Cell
from dmt_ray.files import write_text
from dmt_ray.store.provenance import git, versions

NAME = "ablation.json"
FAILED = "failed.json"
FOLDER = "ablations"  # below the storage folder


@dataclass(frozen=True)
class AblationFile:
    """Its content.

    Attributes:
        ablation: The ablation.
        storage: Folder of the results.
        data: Folder of the data set, where one was given.
        about: Column -> names, colours and splits for people (`DatasetInfo.to_json`); "column / row" for a row
            that has other splits than the reference.
        command: The command that performs it.
    """

    ablation: Ablation
    storage: Path
    data: Path | None = None
    dataset_info: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    command: str = ""

    def dataset_info_of(self, cell: Cell) -> Mapping[str, Any] | None:
        """Names, colours and splits of a cell; None where they are not known."""
        return self.dataset_info.get(f"{cell.column} / {cell.row}", self.dataset_info.get(cell.column))


def write(folder: Path, file: AblationFile) -> None:
    """Write the file, and beside its content the versions of everything."""
    one = file.ablation
    content = {
        "name": one.name,
        "question": one.question,
        "title": one.title,
        "recipe": one.recipe,
        "seeds": one.seeds,
        "reference": one.reference,
        "paper": one.paper,
        "cells": [
            {
                "row": cell.row,
                "column": cell.column,
                "method": cell.method,
                "recipe": cell.recipe,
                "changes": list(cell.changes),
                "paper": cell.paper,
                "config": cell.config.model_dump(mode="json"),
            }
            for cell in one.cells
        ],
        "storage": str(file.storage),
        "data": None if file.data is None else str(file.data),
        "about": file.dataset_info,
        "command": file.command,
        "versions": versions(),
        "git": git(),
    }
    _write(folder / NAME, content)


def read(folder: Path) -> AblationFile:
    """The ablation of a folder.

    Raises:
        StoreError: If its ablation.json is missing or is not one.
    """
    try:
        content = json.loads((folder / NAME).read_text(encoding="utf-8"))
        cells = tuple(
            Cell(**cell | {"config": Config(**cell["config"]), "changes": tuple(cell["changes"])})
            for cell in content["cells"]
        )
        fixed = {name: content[name] for name in ("question", "title", "recipe", "reference", "paper")}
        return AblationFile(
            Ablation(cells=cells, seeds=tuple(content["seeds"]), **fixed),
            Path(content["storage"]),
            None if content["data"] is None else Path(content["data"]),
            content["about"],
            content["command"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{folder / NAME} does not describe an ablation: {error}") from None


def write_failed(folder: Path, failed: Mapping[str, str]) -> None:
    """Write down which stages failed in the last start: name of the stage -> why."""
    _write(folder / FAILED, dict(failed))


def read_failed(folder: Path) -> dict[str, str]:
    """Name of the stage -> why it failed in the last start."""
    try:
        found: dict[str, str] = json.loads((folder / FAILED).read_text(encoding="utf-8"))
        return found
    except FileNotFoundError:
        return {}


def _write(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, indent=1) + "\n")
