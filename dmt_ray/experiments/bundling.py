"""Writes a bundle: one archive for an auditor who has the data and not the store; no pictures, weights or paths."""

import io
import json
import lzma
import re
import shlex
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

from dmt_ray.config import Config, override
from dmt_ray.data import Dataset, divide
from dmt_ray.errors import MissingStages
from dmt_ray.experiments import experiment_file
from dmt_ray.experiments.bundle import ENDING, FORMAT, PATHS, at
from dmt_ray.experiments.members import PlannedMember, members_of, stages_of
from dmt_ray.files import replacing
from dmt_ray.plan import Plan, Stage, describe
from dmt_ray.plan.files import CHOICE, METRICS, SUMMARY
from dmt_ray.plan.words import counted
from dmt_ray.store import Record, Store

_OF_MACHINES = ("--storage", "--data", "--tracking-uri", "--shared-store", "--address")  # options with a value each
# How a stage was made, as far as it may matter for its bytes; not on which host.
_MADE = (
    *("device", "cpu", "threads", "workers", "eval_batch", "deterministic", "compiled", "versions", "git"),
    *("first_weights", "steps", "seconds", "when"),
)


def write(path: Path, folder: Path, datasets: Mapping[str, Dataset], table: str) -> int:
    """Write the bundle of an experiment; the same store gives the same bytes.

    Args:
        path: The archive.
        folder: The experiment's.
        datasets: Fingerprint -> each of its opened data sets, for the lists of labelled images.
        table: Its table as CSV.

    Returns:
        The number of stages whose records are in it.

    Raises:
        MissingStages: If nothing of it is computed.
    """
    file, store = experiment_file.read(folder), Store(folder.parents[1])
    members = [one._replace(config=without_paths(one.config)) for one in members_of(file, folder)]
    plans = [member.plan() for member in members]
    stages = [stage for stage in stages_of(members) if store.has(stage)]
    if not stages:
        raise MissingStages(f"nothing of {folder.name} is computed yet, so there is nothing to bundle")
    origin = experiment_file.content_of(folder)
    about = {
        "format": FORMAT,
        "name": folder.name,
        "kind": file.kind,
        "title": getattr(file.experiment, "title", ""),
        "command": _command(file.command),
        "versions": origin.get("versions", {}),
        "git": origin.get("git", {}),
    }
    records = {stage: _portable(store.record(stage)) for stage in stages}
    content = {
        "bundle.json": _json(about),
        "plans.json": _json([_member(*each) for each in zip(members, plans, strict=True)]),
        "stages.txt": "".join(f"{describe(stage)}  seed {stage.seed}\n" for stage in stages_of(members)).encode(),
        "table.csv": table.encode(),
        "digests.txt": "".join(sorted(_digest_lines(records.values()))).encode(),
        **{f"records/{stage.name}.json": record.to_json().encode() for stage, record in records.items()},
        **{f"results/{stage.name}/{name}": data for stage in stages for name, data in _results(store, stage)},
        **dict(_splits(members, datasets)),
    }
    content["README.md"] = _readme(about, len(stages), sorted({one.config.data.name for one in members})).encode()
    with replacing(path) as draft:
        draft.write_bytes(_packed(content))
    return len(stages)


def without_paths(config: Config) -> Config:
    """The settings with the bare names of files outside the data set, which changes no key."""
    values = config.model_dump(mode="json")
    changes = {path: PurePath(value).name for path in PATHS if (value := at(values, path)) is not None}
    changed = config.evolve(recipe=PurePath(config.recipe).name)
    return override(changed, changes) if changes else changed


def _member(member: PlannedMember, plan: Plan) -> dict[str, Any]:
    rungs = [{side: stage.name for side, stage in rung.items()} for rung in plan.rungs]
    values = {"name": member.name, "method": member.method, "seed": member.seed, "rungs": rungs}
    ensemble = None if plan.ensemble is None else plan.ensemble.name
    return values | {"ensemble": ensemble, "config": member.config.model_dump(mode="json")}


def _command(command: str) -> str:
    """A command without folders and addresses of a machine."""
    words, skip = list[str](), False
    for word in shlex.split(command):
        if not skip and word not in _OF_MACHINES:
            head, sign, value = word.rpartition("=")
            words.append(f"{head}{sign}{PurePath(value).name}" if value.startswith("/") else word)
        skip = word in _OF_MACHINES
    return shlex.join(words)


def _portable(record: Record) -> Record:
    return replace(record, made={name: record.made[name] for name in _MADE if name in record.made})


def _digest_lines(records: Iterable[Record]) -> Iterator[str]:
    for record in records:
        yield from (f"{digest}  {record.operation}-{record.key}/{name}\n" for name, digest in record.files.items())


def _results(store: Store, stage: Stage) -> Iterator[tuple[str, bytes]]:
    """The small files of a stage that hold numbers."""
    folder = store.open(stage)
    for path in sorted(folder.iterdir()):
        if path.suffix == ".csv" or path.name in (METRICS, SUMMARY, CHOICE):
            yield path.name, path.read_bytes()


def _splits(members: Sequence[PlannedMember], datasets: Mapping[str, Dataset]) -> Iterator[tuple[str, bytes]]:
    """A file for each split: the ids of the labelled images in the order of the draw, and of the validation images."""
    for member in members:
        config, dataset = member.config, datasets[member.config.data.fingerprint]
        parts = divide(config.split.for_seed(member.seed), config.data, dataset)
        subset, places = parts.selection
        ids = {
            "data": config.data.name,
            "fingerprint": dataset.fingerprint,
            "split": parts.name,
            "digest": parts.digest,
            "labelled": [dataset.subsets["train"].ids[i] for i in parts.labelled],
            "selection": [f"{subset}/{dataset.subsets[subset].ids[i]}" for i in places],
        }
        yield f"splits/{re.sub(r'[^A-Za-z0-9._-]+', '-', parts.name)}-{parts.digest}.json", _json(ids)


def _json(values: Any) -> bytes:
    return (json.dumps(values, indent=1, ensure_ascii=False, default=str) + "\n").encode()


def _readme(about: Mapping[str, Any], stages: int, data: Sequence[str]) -> str:
    versions, commit = about["versions"], about["git"].get("commit", "unknown")
    python, torch = versions.get("python", "unknown"), versions.get("torch", "unknown")
    records = f"records of {counted(stages, 'stage')}"
    return f"""# {about["name"]}

{about["title"]}

This archive holds what is needed to compute the results again: {records}; no pictures, no weights.

| file | holds |
|---|---|
| `table.csv` | the results |
| `plans.json` | every member: method, settings, seed, and the stages that it is scored by |
| `stages.txt` | all stages in the order of their inputs, a line each |
| `records/` | of each stage that was computed: settings, inputs, digests of its files, versions, time |
| `digests.txt` | the same digests, BLAKE2b of 128 bits, as `b2sum -l 128` prints them |
| `results/` | the small files of the stages: scores, histories, coverage of labels |
| `splits/` | ids of the labelled images and of the validation images of each split |
| `bundle.json` | command, versions and commit |

## Compute it again

Made by `{about["command"] or "an unknown command"}` with dmt-ray {versions.get("dmt-ray", "unknown")},
git commit {commit}, Python {python} and torch {torch}. Install these versions, get the data ({", ".join(data)}), and

```sh
dmt audit {about["name"]}{ENDING} --hours 2 --data path/to/the/data
```

draws stages at random, computes each from nothing, and compares the digests. Built-in data sets need no `--data`.
"""


def _packed(content: Mapping[str, bytes]) -> bytes:
    """A tar archive without times and owners."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(content):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content[name]), 0o644
            archive.addfile(entry, io.BytesIO(content[name]))
    return lzma.compress(buffer.getvalue(), preset=6)
