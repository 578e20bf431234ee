"""What lies in a storage folder: records, leases, journals, experiments, notes and decoded images; and lists of ids."""

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from PIL import Image

from dmt_ray.config import Split
from dmt_ray.data import Dataset, divide, open_dataset
from dmt_ray.data.cache import open_decoded, remarks_in
from dmt_ray.data.sets.folder import FolderData
from dmt_ray.errors import DataError, MissingStages, StoreError
from dmt_ray.execution import journal
from dmt_ray.execution.network_notes import NetworkNotes
from dmt_ray.experiments import experiment_file
from dmt_ray.experiments.ablation import Ablation, Column, Row, cells
from dmt_ray.experiments.experiment_file import ExperimentFile
from dmt_ray.experiments.run import Run
from dmt_ray.experiments.sweep import Sweep
from dmt_ray.experiments.trials import STUDY, open_storage, read_trials
from dmt_ray.methods.space import Choice, Integer, Uniform
from dmt_ray.plan.key import key_of
from dmt_ray.recipes import named
from dmt_ray.store import Store
from dmt_ray.store.leases import Leases
from dmt_ray.store.record import Record
from dmt_ray.store.stage_dirs import StageDirs

from . import damage
from .reader import Reader

IDENTITY: dict[str, Any] = {
    "operation": "pretrain", "revision": 1, "config": {"data": {"name": "shapes"}, "x": [1, 2.5, None]}, "seed": 0,
    "inputs": {},
}  # fmt: skip
KEY = key_of(IDENTITY)
STAGE = f"stages/pretrain/{KEY}/record.json"
JOURNAL = ("faults.jsonl", "executed/shared.txt", "doing/3.json")


def _record(folder: Path) -> None:
    try:
        StageDirs(folder).record(StageDirs(folder).stage_path("pretrain", KEY))
    finally:
        shutil.rmtree(folder / "damaged", ignore_errors=True)


def _records(folder: Path) -> list[bytes]:
    record = Record(
        key=KEY,
        summary="in words",
        input_digests={},
        files={"a.json": "0" * 32},
        sizes={"a.json": 3},
        evicted=("a.json",),
        made={"when": "2026-01-01T00:00:00+00:00", "seconds": 1.5},
        **IDENTITY,
    )
    text = record.to_json().encode()
    return [text, b"{\n" + text.split(b"\n", 2)[2]]


def _store(folder: Path) -> None:
    Store(folder).ls()


def _leases(folder: Path) -> None:
    leases = Leases(folder / "leases", folder / "staging")
    for running in leases.running():
        assert running.holder
    leases.holder(KEY)
    leases.held()
    list(leases.expired())
    if (lease := leases.take(KEY, "pretrain")) is not None:
        lease.release()


def _lease_files(folder: Path) -> list[bytes]:
    values = {"key": KEY, "operation": "pretrain", "step": 3, "steps": 9, "host": "n", "pid": 17, "started": 1.5e9}
    return [json.dumps(values | {"beat": 1.5e9, "inputs": [KEY], "token": "0123456789abcdef"}).encode()]


def _journal(name: str, folder: Path) -> None:
    for other in JOURNAL:
        if other != name:
            (folder / other).unlink(missing_ok=True)
    for fault in journal.read_faults(folder):
        assert isinstance(fault.place, str)
    assert all(len(key) == 20 for key in journal.executed(folder, "shared"))
    if (activity := journal.last_activity(folder, 3)) is not None:
        assert str(activity)


def _activities(folder: Path) -> list[bytes]:
    values = {"stage": f"finetune-{KEY}", "what": "model A: x", "seed": 0, "rung": 1, "node": "n", "pid": 17}
    return [json.dumps(values).encode()]


def _faults(folder: Path) -> list[bytes]:
    row: dict[str, Any] = {"who": 3, "kind": "lost", "error": "died", "node": "n", "when": "2026-01-01T00:00:00+00:00"}
    doing = json.loads(_activities(folder)[0])
    return [f"{json.dumps(row | {'doing': None})}\n{json.dumps(row | {'doing': doing})}\n".encode()]


def _experiment(folder: Path) -> None:
    experiment_file.kind_of(folder / "sweeps" / "toy")
    experiment_file.read(folder / "sweeps" / "toy")


def _experiments(folder: Path) -> list[bytes]:
    config = named("shapes").evolve(percentiles=(0.5, 1.0))
    space: dict[str, Uniform | Integer | Choice] = {"weight.gamma1": Uniform(0, 8), "method": Choice("dst", "dmt")}
    rows = cells("shapes", (), {"DMT": Row("dmt")}, {"shapes": Column()}, lambda config: config)
    found = []
    kinds: tuple[Sweep | Ablation | Run, ...] = (
        Sweep("joint", "What?", config, "dmt", space, (0, 1), ({"weight.gamma1": 1.0, "method": "dmt"},)),
        Ablation("parts", "What?", "shapes", rows, (0, 1), "DMT"),
        Run("dmt", config, 0),
    )
    for number, one in enumerate(kinds):
        place = folder / "sweeps" / str(number)
        experiment_file.write(place, ExperimentFile(one, Path("runs"), None, "shapes", ("a=1",), 4, {}, "dmt"))
        found.append((place / experiment_file.NAME).read_bytes())
    return found


def _notes(folder: Path) -> None:
    model = named("shapes").model
    notes = NetworkNotes(folder)
    notes.fits(model, 6, (64, 64), "segmentation")
    notes.padding(model, 6)
    notes.seconds(model, 6, (1, 3, 64, 64))


def _decoded(folder: Path) -> None:
    remarks_in(folder / "data")
    assert open_decoded(folder / "data", "f1") is None


def _failed(folder: Path) -> None:
    for name, why in experiment_file.read_failed(folder).items():
        assert (type(name), type(why)) == (str, str)


def _dataset(folder: Path) -> tuple[FolderData, Dataset]:
    data, root = FolderData(classes=("a", "b")), folder / "root"
    for number in range(8):
        for part in ("images", "masks"):
            (root / part).mkdir(parents=True, exist_ok=True)
            pixels = np.full((4, 4, 3) if part == "images" else (4, 4), number % 2, np.uint8)
            pixels.flat[0] = number
            pixels.flat[1:] %= 2
            Image.fromarray(pixels if part == "images" else pixels % 2).save(root / part / f"n {number}.png")
    return data, open_dataset(data, root, folder / "cache")


_OPENED: dict[Path, tuple[FolderData, Dataset]] = {}


def _split(folder: Path) -> None:
    if folder not in _OPENED:
        _OPENED[folder] = _dataset(folder)
    data, dataset = _OPENED[folder]
    parts = divide(Split(labelled=2, rule="list", list="labelled.txt", selection=0.25), data, dataset)
    assert len(parts.labelled) == 2


def _splits(folder: Path) -> list[bytes]:
    _, dataset = _dataset(folder)
    ids = dataset.subsets["train"].ids
    return [f"{first}\n{second}\n".encode() for first in ids for second in ids if first != second]


def _study(folder: Path) -> None:
    place = folder / "study" / "study.db"
    content = place.read_bytes()
    for path in place.parent.iterdir():  # a new file, since a reader of the same one goes on where it was
        path.unlink()
    place.write_bytes(content)
    for trial in read_trials(place.parent, "toy"):
        assert trial.number >= 0


def _studies(folder: Path) -> list[bytes]:
    storage = open_storage(folder)
    study = optuna.create_study(study_name="toy", storage=storage)
    for number in range(2):
        trial = study.ask()
        trial.suggest_float("weight.gamma1", 0, 8)
        trial.report(0.5, 0)
        study.tell(trial, 0.5 + number)
    storage.engine.dispose()
    return [(folder / STUDY).read_bytes()]


READERS = {
    "record": Reader(STAGE, _record, _records, (StoreError, MissingStages), KEY, damage.closed),
    "store.json": Reader("store.json", _store, lambda _: [b'{"format": 1}\n'], (StoreError,), "store"),
    "lease": Reader(f"leases/{KEY}.json", _leases, _lease_files, (), None, damage.closed),
    **{
        f"journal's {name}": Reader(name, partial(_journal, name), seeds, (), None, damage.closed)
        for name, seeds in zip(JOURNAL, (_faults, lambda _: [f"{KEY}\n{KEY[::-1]}\n".encode()], _activities))
    },
    "experiment.json": Reader(
        "sweeps/toy/experiment.json", _experiment, _experiments, (StoreError,), None, damage.closed
    ),
    "study.db": Reader("study/study.db", _study, _studies, (StoreError,)),
    "failed.json": Reader("failed.json", _failed, lambda _: [b'{"pretrain-0123": "out of memory"}'], (StoreError,)),
    "notes on networks": Reader("networks.json", _notes, lambda _: [b'{"a": true, "b": [8, 0]}'], ()),
    "decoded images": Reader(
        "data/dataset.json", _decoded, lambda _: [b'{"fingerprint": "f0", "subsets": {"train": []}, "bytes": {}}'], ()
    ),
    "remarks": Reader("data/remarks.json", _decoded, lambda _: [b'["one", "two"]'], ()),
    "list of labelled images": Reader("root/labelled.txt", _split, _splits, (DataError,)),
}
