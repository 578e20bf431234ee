"""Reads a bundle (`bundling` writes it): what is recorded of an experiment, without its store; nothing is unpacked."""

import hashlib
import json
import lzma
import re
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dmt_ray.config import override
from dmt_ray.errors import ConfigError, StoreError
from dmt_ray.experiments.members import PlannedMember, stages_of
from dmt_ray.methods import METHODS, stored_config
from dmt_ray.plan import Stage
from dmt_ray.store import Record

FORMAT = 1
ENDING = ".tar.xz"
PATHS = ("model.weights_file", "model_b.weights_file", "external.masks", "external.confidence")
"""Settings that name files outside the data set; their digests are identity, and where they lie is not."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*){0,2}")
_LARGEST, _LARGEST_OF_ALL = 2**26, 2**29  # bytes of a file, and of all of them


@dataclass(frozen=True)
class Bundle:
    """What a bundle holds.

    Attributes:
        name: Full name of the experiment.
        records: Each recorded stage, inputs first, and its record.
        planned: How many stages the experiment is to have.
        results: Name of a stage -> its small files.
    """

    name: str
    records: Mapping[Stage, Record]
    planned: int
    results: Mapping[str, Mapping[str, bytes]]


def is_bundle(what: str) -> bool:
    """Whether a name is that of an archive."""
    return what.endswith(ENDING)


def read(path: Path, changes: Sequence[str] = ()) -> Bundle:
    """Read a bundle; nothing is unpacked.

    Args:
        path: The archive.
        changes: Where files outside the data set lie here, as "external.masks=FOLDER"; settings in `PATHS`.

    Raises:
        StoreError: If it is no bundle, is damaged, or is of a version that makes other stages of the same settings.
        ConfigError: If a change is none of `PATHS`.
    """
    content = _unpacked(path)
    try:
        about = json.loads(content["bundle.json"])
        if about["format"] != FORMAT:
            raise StoreError(
                f"{path} has format {about['format']!r}, but this version of dmt-ray reads format {FORMAT}: use "
                f"dmt-ray {about.get('versions', {}).get('dmt-ray', 'of the version that wrote it')}"
            )
        members = [_of_json(values, _changes(changes)) for values in json.loads(content["plans.json"])]
        stages = {stage.name: stage for stage in stages_of(members)}
        records = {name: _record(name, text) for name, text in _below(content, "records").items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, ConfigError):
            raise
        raise StoreError(f"{path} is no bundle, or is damaged: {error}") from None
    if strange := [name for name in records if name not in stages]:
        raise StoreError(
            f"this version of dmt-ray makes other stages of the settings in {path}: {len(strange)} of {len(records)} "
            f"records belong to none of them, such as {strange[0]}. Use dmt-ray {about['versions'].get('dmt-ray')}, "
            f"git commit {about['git'].get('commit', 'unknown')}"
        )
    results: dict[str, dict[str, bytes]] = {}
    for name, data in _below(content, "results", ending="").items():
        stage, _, file = name.partition("/")
        results.setdefault(stage, {})[file] = data
    found = {stage: records[name] for name, stage in stages.items() if name in records}
    return Bundle(str(about["name"]), found, len(stages), _checked(path, found, results))


def _checked(
    path: Path, records: Mapping[Stage, Record], results: dict[str, dict[str, bytes]]
) -> dict[str, dict[str, bytes]]:
    """The results, which have to have the digests of the records."""
    known = {stage.name: record for stage, record in records.items()}
    for stage, files in results.items():
        for name, data in files.items():
            digest = hashlib.blake2b(data, digest_size=16).hexdigest()
            if stage not in known or known[stage].files.get(name) != digest:
                raise StoreError(f"{path} is damaged: results/{stage}/{name} is not what the stage's record says")
    return results


def _unpacked(path: Path) -> dict[str, bytes]:
    content, total = dict[str, bytes](), 0
    try:
        with tarfile.open(path, "r:xz") as archive:
            for entry in archive:
                total += entry.size
                if not entry.isfile() or not _NAME.fullmatch(entry.name) or entry.name in content:
                    raise StoreError(f"{path} is no bundle: it holds {entry.name!r}, which no bundle does")
                if entry.size > _LARGEST or total > _LARGEST_OF_ALL:
                    raise StoreError(f"{path} is no bundle: it holds more than {_LARGEST_OF_ALL:,} bytes")
                stream = archive.extractfile(entry)
                assert stream is not None
                content[entry.name] = stream.read()
    except FileNotFoundError:
        raise StoreError(f"there is no file {path}") from None
    except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise StoreError(f"{path} is no bundle, or is damaged: {error}") from None
    return content


def _below(content: Mapping[str, bytes], folder: str, ending: str = ".json") -> dict[str, bytes]:
    """The files of a folder, by their names without folder and ending."""
    begin = f"{folder}/"
    return {
        name.removeprefix(begin).removesuffix(ending): data for name, data in content.items() if name.startswith(begin)
    }


def _record(name: str, text: bytes) -> Record:
    record = Record.from_json(text)
    operation, _, key = name.rpartition("-")
    record.check_identity(operation, key)
    return record


def _of_json(values: Mapping[str, Any], changes: Mapping[str, str]) -> PlannedMember:
    method = str(values["method"])
    config = stored_config(METHODS[method], values["config"])
    fitting = {path: value for path, value in changes.items() if at(values["config"], path) is not None}
    config = override(config, fitting) if fitting else config
    return PlannedMember(str(values["name"]), method, config, int(values["seed"]))


def _changes(changes: Sequence[str]) -> dict[str, str]:
    found = {}
    for change in changes:
        name, _, value = change.partition("=")
        if name not in PATHS:
            raise ConfigError(f"--set says here where files lie: {', '.join(PATHS)}; but got {change!r}")
        found[name] = value
    return found


def at(values: Any, dotted: str) -> Any:
    """What stands at a dotted place of nested settings; None: nothing does."""
    for name in dotted.split("."):
        values = values.get(name) if isinstance(values, Mapping) else None
    return values
