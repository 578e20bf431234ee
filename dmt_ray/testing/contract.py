"""What all checks share: how they fail, and how they query a fresh process."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from dmt_ray.config import DATA_SETS, DataSettings, Registry
from dmt_ray.execution.plugins import pack
from dmt_ray.testing.squares import SquaresData

T = TypeVar("T")

SECONDS = 600  # for a fresh process


class ContractBroken(AssertionError):
    """A method or a data set violates its contract; the message says what was found and what to change."""


def require(holds: bool, message: str) -> None:
    """Raise ContractBroken with a message unless something holds."""
    if not holds:
        raise ContractBroken(message)


@contextmanager
def borrowed(registry: Registry[T], name: str, value: T) -> Iterator[str]:
    """A name under which a value is registered in the block."""
    known = next((own for own, other in registry.usable()[0].items() if other is value), None)
    if known is not None:
        yield known
        return
    registry.register(name, value)
    try:
        yield name
    finally:
        registry.forget(name)


def with_squares() -> AbstractContextManager[str]:
    """The data set of the checks is registered in the block."""
    kind: type[DataSettings] = SquaresData
    return borrowed(DATA_SETS, "check_squares", kind)


@dataclass(frozen=True)
class Task:
    """What a fresh process is asked (`dmt_ray.testing.child`).

    Attributes:
        kind: "method": print the keys of a plan, then perform it and be killed; "dataset": print the fingerprint.
        content: The function or class, packed, in hex.
        settings: Of the config or the data set, as JSON values.
        folder: Of the store or the cache.
        root: The data set's folder.
        seed: Of the plan.
        last: Key of the stage in which the process kills itself.
    """

    kind: str
    content: str
    settings: dict[str, Any]
    folder: str
    root: str | None = None
    seed: int = 0
    last: str = ""


def ask(task: Task) -> tuple[int, str]:
    """What a process of other hash values answers to a task: its exit status and output.

    Raises:
        ContractBroken: If it cannot import what it is asked about, or fails; with the end of what it said.
    """
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    hashes = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    done = subprocess.run(
        [sys.executable, "-m", "dmt_ray.testing.child"],
        input=json.dumps(asdict(task)),
        env=os.environ | {"PYTHONPATH": paths, "PYTHONHASHSEED": hashes},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
    require(done.returncode <= 0, f"a fresh process that imports it fails: {last}")
    return done.returncode, done.stdout


def packed(value: object, name: str) -> str:
    """A function or class as a `Task` takes it."""
    return pack(value, name).hex()
