"""sweep.json: what a sweep is, so that it can be read and published without the script that asked for it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dmt_ray.config import Config
from dmt_ray.errors import StoreError
from dmt_ray.experiments.reproduce_sweep import Replay
from dmt_ray.experiments.sweep import Sweep
from dmt_ray.files import write_text
from dmt_ray.methods.space import from_json, to_json
from dmt_ray.store.provenance import git, versions

NAME = "sweep.json"


@dataclass(frozen=True)
class SweepFile:
    """Its content.

    Attributes:
        sweep: The sweep.
        trials: Trials in all.
        replay: What repeats a trial.
        about: Names, colours and splits for people (`DatasetInfo.to_json`).
    """

    sweep: Sweep
    trials: int
    replay: Replay
    dataset_info: Mapping[str, Any] = field(default_factory=dict)


def write(folder: Path, file: SweepFile) -> None:
    """Write the file, and beside its content the versions of everything."""
    sweep, replay = file.sweep, file.replay
    content = {
        "name": sweep.name,
        "question": sweep.question,
        "title": sweep.title,
        "config": sweep.config.model_dump(mode="json"),
        "method": sweep.method,
        "space": {setting: to_json(values) for setting, values in sweep.space.items()},
        "seeds": sweep.seeds,
        "known": [dict(point) for point in sweep.known],
        "grid": sweep.grid,
        "attempt": sweep.attempt,
        "seed_by_seed": sweep.seed_by_seed,
        "second": sweep.second,
        "outcomes": sweep.extra_metrics,
        "trials": file.trials,
        "recipe": replay.recipe,
        "changes": list(replay.changes),
        "storage": str(replay.storage),
        "data": None if replay.data is None else str(replay.data),
        "about": file.dataset_info,
        "versions": versions(),
        "git": git(),
    }
    write_text(folder / NAME, json.dumps(content, indent=1) + "\n")


def read(folder: Path) -> SweepFile:
    """The sweep of a folder.

    Raises:
        StoreError: If its sweep.json is missing or is not one.
    """
    try:
        content: Mapping[str, Any] = json.loads((folder / NAME).read_text(encoding="utf-8"))
        sweep = Sweep(
            question=content["question"],
            title=content["title"],
            config=Config(**content["config"]),
            method=content["method"],
            space={setting: from_json(values) for setting, values in content["space"].items()},
            seeds=tuple(content["seeds"]),
            known=tuple(content["known"]),
            grid=content["grid"],
            attempt=content["attempt"],
            # Not in the files of earlier versions.
            seed_by_seed=content.get("seed_by_seed", False),
            second=content.get("second", ""),
            extra_metrics=tuple(content.get("outcomes", ())),
        )
        data = None if content["data"] is None else Path(content["data"])
        replay = Replay(content["recipe"], tuple(content["changes"]), Path(content["storage"]), data)
        return SweepFile(sweep, content["trials"], replay, content["about"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{folder / NAME} does not describe a sweep: {error}") from None
