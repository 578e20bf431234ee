"""What is left at the end of two runs, and where they differ."""

import json
import re
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from dmt_ray.experiments import experiment_file, locate
from dmt_ray.experiments.trials import read_trials
from dmt_ray.store import Store, files
from dmt_ray.store.shared import Shared
from dmt_ray.store.stage_dirs import StageDirs
from dmt_ray.tracking.connection import EXPERIMENT

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

OWN = {"executed", "reused", "executed_stages", "device_seconds", "best.model"}
"""Tags, metrics and columns that two runs of the same work need not have in common: for which trial a shared stage was
computed, how long it took, and the random name that MLflow gives a model."""
_OWN_TAGS = ("mlflow.", "published.", "git.")  # of MLflow, marks of what is there already, the checkout


@dataclass(frozen=True)
class Results:
    """All that two runs of the same work must have in common, in plain JSON.

    Attributes:
        stages: Operation and key -> file -> digest of its bytes on the disk; of the record what is its identity.
        shared: The same, as the object store has it, of which every byte was read.
        tables: Path -> the text of each table of an ablation, and of each trials.csv, less the columns of `OWN`.
        trials: Name of a sweep -> number, point, state and scores of each trial.
        mlflow: What identifies a run -> its parameters, tags, metrics with all steps, status and files. Of a sweep
            and of an ablation itself the last step counts alone: before that they show what was finished when they were
            published, such as the best trial so far, or a row after its first seed.
    """

    stages: dict[str, Any]
    shared: dict[str, Any]
    tables: dict[str, Any]
    trials: dict[str, Any]
    mlflow: dict[str, Any]

    def differences(self, other: "Results") -> list[str]:
        """Where they differ, a line each."""
        lines = []
        for part in fields(self):
            one, two = getattr(self, part.name), getattr(other, part.name)
            for name in sorted(one.keys() | two.keys()):
                if one.get(name) != two.get(name):
                    lines.append(f"{part.name}: {name}: {_difference(one.get(name), two.get(name))}")
        return lines


def _difference(one: Any, two: Any) -> str:
    if one is None or two is None:
        return "not there" if two is None else "only there"
    if isinstance(one, dict) and isinstance(two, dict):
        keys = [key for key in sorted(one.keys() | two.keys(), key=str) if one.get(key) != two.get(key)]
        return "; ".join(f"{key}: {_difference(one.get(key), two.get(key))}" for key in keys)
    if isinstance(one, str) and isinstance(two, str):
        lines = zip_longest(one.splitlines(), two.splitlines())
        one, two = next((pair for pair in lines if pair[0] != pair[1]), (one, two))
    return f"{one} is now {two}"


def read(storage: Path, url: str, tracking: str) -> Results:
    """Read the results of a run whose servers are up.

    Args:
        storage: Its storage folder.
        url: Its object store.
        tracking: The URI of its MLflow.
    """
    Store(storage, shared=url)  # which uploads what an outage at the end has left
    dirs, stages = StageDirs(storage), {}
    for stage_path in dirs.stage_paths():
        record = asdict(dirs.intact(stage_path, afresh=True))
        record["files"] = {name: files.digest(stage_path.folder / name) for name in record["files"]}
        stages[stage_path.name] = {name: value for name, value in record.items() if name != "made"}
    found = Results(stages, _shared(url), _tables(storage), _trials(storage), _mlflow(storage, tracking))
    return Results(**json.loads(json.dumps(asdict(found))))


def _shared(url: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        damaged = Store(Path(folder), shared=url).verify_shared().damaged
        bucket, dirs, found = Shared(url), StageDirs(Path(folder)), {}
        for operation, key in bucket.stages():
            record = bucket.record(dirs.stage_path(operation, key))
            found[f"{operation}-{key}"] = None if record is None else record.files
        return found | dict.fromkeys(damaged, "damaged")


def _tables(storage: Path) -> dict[str, Any]:
    tables = {}
    for file in (*storage.glob("tables/*.csv"), *storage.glob("sweeps/*/trials.csv")):
        frame = pd.read_csv(file, dtype=str, keep_default_na=False)
        tables[str(file.relative_to(storage))] = frame.drop(columns=[*OWN & set(frame)]).to_csv(index=False)
    return tables


def _trials(storage: Path) -> dict[str, Any]:
    found = {}
    for folder in locate.all_folders(storage):
        if not locate.is_ablation(folder):
            sweep = experiment_file.read(folder).sweep
            trials = read_trials(folder, sweep.name)
            found[sweep.name] = {trial.number: (trial.params, trial.state, trial.scores) for trial in trials}
    return found


def _mlflow(storage: Path, tracking: str) -> dict[str, Any]:
    from mlflow import MlflowClient  # seconds to import

    client = MlflowClient(tracking_uri=tracking)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    found: dict[str, Any] = {}
    for run in client.search_runs([experiment.experiment_id], max_results=1000):
        identity = " ".join(f"{key}={value}" for key, value in sorted(run.data.tags.items()) if key.startswith("dmt."))
        while identity in found:
            identity += " once more"
        found[identity] = _run(client, run, storage)
    return found


def _run(client: "MlflowClient", run: "Run", storage: Path) -> dict[str, Any]:
    def neutral(texts: dict[str, str]) -> dict[str, str]:
        shown = {name: re.sub(r"127\.0\.0\.1:\d+", "SERVER", text) for name, text in texts.items()}
        return {name: text.replace(str(storage), "STORAGE") for name, text in shown.items() if name not in OWN}

    tags = {name: value for name, value in run.data.tags.items() if not name.startswith(_OWN_TAGS)}
    metrics = {
        name: sorted((point.step, point.value) for point in client.get_metric_history(run.info.run_id, name))
        for name in run.data.metrics
        if name not in OWN
    }
    if run.data.tags["dmt.kind"] in ("sweep", "ablation"):
        metrics = {name: points[-1:] for name, points in metrics.items()}
    return {
        "name": run.info.run_name,
        "status": run.info.status,
        "params": neutral(run.data.params),
        "tags": neutral(tags),
        "metrics": metrics,
        "files": sorted(_artifacts(client, run.info.run_id)),
    }


def _artifacts(client: "MlflowClient", run: str, folder: str | None = None) -> Iterator[str]:
    for file in client.list_artifacts(run, folder):
        if file.is_dir:
            yield from _artifacts(client, run, file.path)
        else:
            yield file.path
