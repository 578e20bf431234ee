"""audit.json beside an experiment: which of its stages were computed again, where, and whether they agree."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from dmt_ray.errors import StoreError
from dmt_ray.experiments.locate import all_folders
from dmt_ray.files import write_text
from dmt_ray.plan import Stage

NAME = "audit.json"


@dataclass(frozen=True)
class Recomputed:
    """A stage that was computed again.

    Attributes:
        digest: `Record.digest` of the stage that it was compared with: of another one this says nothing.
        agrees: Whether it came out as recorded.
        exact: Whether its bytes were compared; else it was what the bound allows.
        what: What differs first, and what was not expected to be the same; "" where it is the same bytes.
        seconds: How long it took.
        when: ISO 8601 in UTC.
        machine: Number of the machine in `AuditFile.machines`.
    """

    digest: str
    agrees: bool
    exact: bool
    what: str
    seconds: float
    when: str
    machine: int


@dataclass(frozen=True)
class AuditFile:
    """What an audit has found so far.

    Attributes:
        seed: Of the draw that it went on with last.
        machines: Device, processor, versions and commit of each machine that computed something.
        stages: Name of a stage -> what came of it.
    """

    seed: int = 0
    machines: list[dict[str, Any]] = field(default_factory=list)
    stages: dict[str, Recomputed] = field(default_factory=dict)

    def of(self, stage: Stage, digest: str) -> Recomputed | None:
        """What is known of a stage whose record has this digest."""
        known = self.stages.get(stage.name)
        return known if known is not None and known.digest == digest else None

    def number_of(self, machine: dict[str, Any]) -> int:
        """The number of a machine, which is noted if it is new."""
        if machine not in self.machines:
            self.machines.append(machine)
        return self.machines.index(machine)


_FILES = TypeAdapter(AuditFile)


def read(path: Path) -> AuditFile:
    """An audit file; an empty one where there is none.

    Raises:
        StoreError: If it cannot be read.
    """
    try:
        return _FILES.validate_json(path.read_bytes())
    except FileNotFoundError:
        return AuditFile()
    except ValidationError as error:
        first = error.errors()[0]["msg"]
        raise StoreError(f"{path} is damaged ({first}). Delete it: its stages are then computed again") from None


def write(path: Path, content: AuditFile) -> None:
    """Write an audit file whole."""
    write_text(path, json.dumps(asdict(content), indent=1) + "\n")


def drawn(stages: Iterable[Stage], seed: int) -> list[Stage]:
    """The stages in the random order of a seed, which does not change for those that are there when others join."""
    return sorted(stages, key=lambda stage: hashlib.sha256(f"{seed} {stage.key}".encode()).digest())


def sample(content: AuditFile, digests: Mapping[Stage, str]) -> list[tuple[Stage, Recomputed]]:
    """The stages that were drawn so far: the beginning of the order, up to the first that was not computed again.

    Args:
        content: The audit.
        digests: Each recorded stage of the table -> the digest in its record.
    """
    found = []
    for stage in drawn(digests, content.seed):
        known = content.of(stage, digests[stage])
        if known is None:
            break
        found.append((stage, known))
    return found


def shown_to_come_back(storage: Path) -> dict[str, str]:
    """Key of each stage of which an audit found that it comes back byte by byte -> the digest of its record."""
    found: dict[str, str] = {}
    for folder in _audited(storage):
        for name, one in read(folder / NAME).stages.items():
            if one.agrees and one.exact:
                found[name.rpartition("-")[2]] = one.digest
    return found


def _audited(storage: Path) -> Sequence[Path]:
    return [folder for folder in all_folders(storage, ("sweep", "ablation", "run")) if (folder / NAME).is_file()]
