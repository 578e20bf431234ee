"""Something that reads a file from outside, and how it is tried with a damaged one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal

from dmt_ray.errors import LONGEST

from .damage import damaged

Outcome = Literal["value", "refusal"]


@dataclass(frozen=True)
class Reader:
    """Something that reads a file.

    Attributes:
        file: Where the file lies below the folder that `read` is given.
        read: Reads it.
        seeds: Makes valid files in an empty folder.
        errors: What it may raise for a damaged one.
        named: What each such error must hold; None: the file's name.
        repair: Corrects checksums and lengths.
    """

    file: str
    read: Callable[[Path], object]
    seeds: Callable[[Path], Sequence[bytes]]
    errors: tuple[type[Exception], ...] = ()
    named: str | None = None
    repair: Callable[[bytes], bytes] | None = None

    def content(self, seed: int, number: int, seeds: Sequence[bytes]) -> bytes:
        """The damaged file of a number: always the same."""
        return damaged(Random(f"{seed}/{self.file}/{number}"), seeds, self.repair)

    def attempt(self, content: bytes, folder: Path) -> Outcome:
        """Read a file of some bytes; whatever else than a value or a fitting error comes of it is raised."""
        path = folder / self.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        try:
            self.read(folder)
        except self.errors as error:
            message = str(error)
        else:
            return "value"
        name = path.name if self.named is None else self.named
        assert name in message, f"the message does not hold {name!r}: {message}"
        assert len(message) <= LONGEST, f"the message has {len(message)} characters"
        message.encode()  # or it could not be printed
        return "refusal"
