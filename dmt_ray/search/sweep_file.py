"""sweep.json: what a sweep was, so that it can be read without the script that asked for it."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dmt_ray.config import Config
from dmt_ray.errors import StoreError
from dmt_ray.provenance import git, versions
from dmt_ray.search.sweep import Sweep, Uniform

NAME = "sweep.json"


def write(folder: Path, sweep: Sweep, *, command: Sequence[str], trials: int) -> None:
    """Write down a sweep: its settings, seeds and space, the command that started it, and the versions of everything."""
    content = {
        "name": sweep.name,
        "question": sweep.question,
        "title": sweep.title,
        "config": sweep.config.model_dump(mode="json"),
        "method": sweep.method,
        "space": {setting: asdict(values) for setting, values in sweep.space.items()},
        "seeds": sweep.seeds,
        "known": [dict(point) for point in sweep.known],
        "grid": sweep.grid,
        "trials": trials,
        "command": list(command),
        "versions": versions(),
        "git": git(),
    }
    aside = folder / f".{NAME}.part"
    aside.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(aside, folder / NAME)


def read(folder: Path) -> Sweep:
    """The sweep of a folder.

    Raises:
        StoreError: If its sweep.json is missing or is not one.
    """
    try:
        content: Mapping[str, Any] = json.loads((folder / NAME).read_text(encoding="utf-8"))
        return Sweep(
            question=content["question"],
            title=content["title"],
            config=Config(**content["config"]),
            method=content["method"],
            space={setting: Uniform(**values) for setting, values in content["space"].items()},
            seeds=tuple(content["seeds"]),
            known=tuple(content["known"]),
            grid=content["grid"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{folder / NAME} does not describe a sweep: {error}") from None
