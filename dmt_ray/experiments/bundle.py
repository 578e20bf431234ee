"""Reads a bundle (`bundling` writes it): what is recorded of an experiment, without its store; nothing is unpacked."""

import hashlib
import io
import lzma
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from dmt_ray.config import override
from dmt_ray.errors import ConfigError, StoreError
from dmt_ray.experiments.members import PlannedMember, stages_of
from dmt_ray.files import parse_json
from dmt_ray.methods import METHODS, stored_config
from dmt_ray.plan import Stage
from dmt_ray.plan.words import be, counted
from dmt_ray.store import Record

FORMAT = 1
ENDING = ".tar.xz"
PATHS = ("model.weights_file", "model_b.weights_file", "external.masks", "external.confidence")
"""Settings that name files outside the data set; their digests are identity, and where they lie is not."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*){0,2}")
_LARGEST = 2**29  # bytes of an archive, compressed or not
_MEMORY = 2**27  # bytes that decompressing may take
_OF_DAMAGE = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)


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
    places = _changes(changes)
    with _damage(path):
        content = _unpacked(path)
        origin = _origin(path, content["bundle.json"])
        members = [_member(values) for values in parse_json(content["plans.json"])]
    members = [_placed(member, places) for member in members]
    with _damage(path):
        stages = {stage.name: stage for stage in stages_of(members)}
        records = {name: _record(name, text) for name, text in _below(content, "records").items()}
    if strange := [name for name in records if name not in stages]:
        which = f"{len(strange):,} of {counted(len(records), 'record')} {be(len(strange))} of none of them"
        raise StoreError(
            f"this version of dmt-ray makes other stages of the settings in {path}: {which}, such as {strange[0]}. Use "
            f"dmt-ray {origin.version}, git commit {origin.commit}"
        )
    results: dict[str, dict[str, bytes]] = {}
    for name, data in _below(content, "results", ending="").items():
        stage, _, file = name.partition("/")
        results.setdefault(stage, {})[file] = data
    found = {stage: records[name] for name, stage in stages.items() if name in records}
    return Bundle(origin.name, found, len(stages), _checked(path, found, results))


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


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Turn what a damaged file leads to into an error that names it."""
    try:
        yield
    except StoreError:
        raise
    except (*_OF_DAMAGE, tarfile.TarError, lzma.LZMAError, EOFError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise StoreError(f"{path} is no bundle, or is damaged: {reason}") from None


class _Origin(NamedTuple):
    name: str
    version: str  # of dmt-ray
    commit: str


def _origin(path: Path, text: bytes) -> _Origin:
    about = parse_json(text)
    versions, git = about.get("versions", {}), about.get("git", {})
    version = str(versions.get("dmt-ray", "of the version that wrote it"))
    if about["format"] != FORMAT:
        raise StoreError(
            f"{path} has format {about['format']!r}, but this version of dmt-ray reads format {FORMAT}: use "
            f"dmt-ray {version}"
        )
    return _Origin(str(about["name"]), version, str(git.get("commit", "unknown")))


def _unpacked(path: Path) -> dict[str, bytes]:
    content = dict[str, bytes]()
    with tarfile.open(fileobj=io.BytesIO(_decompressed(path)), mode="r:") as archive:
        for entry in archive:
            if not entry.isfile() or entry.issparse() or not _NAME.fullmatch(entry.name) or entry.name in content:
                raise StoreError(f"{path} is no bundle: it holds {entry.name!r}, which no bundle does")
            stream = archive.extractfile(entry)
            assert stream is not None
            content[entry.name] = stream.read()
            if len(content[entry.name]) != entry.size:
                raise EOFError(f"{entry.name} is not whole")
    return content


def _decompressed(path: Path) -> bytes:
    """The tar archive, before anything in it is believed: its headers may be as large as they like, too."""
    decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)
    try:
        with path.open("rb") as file:
            compressed = file.read(_LARGEST + 1)
    except FileNotFoundError:
        raise StoreError(f"there is no file {path}") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from None
    content = b"" if len(compressed) > _LARGEST else decompressor.decompress(compressed, _LARGEST + 1)
    if max(len(compressed), len(content)) > _LARGEST:
        raise StoreError(f"{path} is no bundle: it holds more than {_LARGEST:,} bytes")
    if not decompressor.eof:
        raise EOFError("it ends too early")
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


def _member(values: Mapping[str, Any]) -> PlannedMember:
    method = str(values["method"])
    return PlannedMember(
        str(values["name"]), method, stored_config(METHODS[method], values["config"]), int(values["seed"])
    )


def _placed(member: PlannedMember, places: Mapping[str, str]) -> PlannedMember:
    """A member whose files lie elsewhere, as far as its settings name any."""
    values = member.config.model_dump(mode="json")
    fitting = {path: value for path, value in places.items() if at(values, path) is not None}
    return member._replace(config=override(member.config, fitting)) if fitting else member


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
