"""What is known of networks in a storage folder: the images that they take, and the seconds of a bare training step.

To find it out anew takes seconds, of which most go by until torch is imported. A note counts for the same settings,
versions, code of our networks and, for times, machine.
"""

import functools
import hashlib
import json
import platform
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from dmt_ray.config import Model, Task
from dmt_ray.files import read_json, write_text
from dmt_ray.plan.key import key_of
from dmt_ray.store.provenance import versions

FILE = "networks.json"


class NetworkNotes:
    """Notes in the file networks.json of a folder. It may go at any time, and need not be writable.

    Args:
        folder: The storage folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._notes: dict[str, Any] | None = None

    def fits(self, model: Model, classes: int, size: Sequence[int], task: Task) -> bool:
        """Whether it is known that a network, apart from its weights, fits data and images of a size."""
        return _key("fits", model, classes, size, task) in self._known()

    def note_fits(self, model: Model, classes: int, size: Sequence[int], task: Task) -> None:
        """Note that it does."""
        self._note(_key("fits", model, classes, size, task), True)

    def trains_on_one(self, model: Model, classes: int, crop: Sequence[int]) -> bool:
        """Whether it is known that a network can train on a batch of one image."""
        return _key("trains on one", model, classes, crop) in self._known()

    def note_trains_on_one(self, model: Model, classes: int, crop: Sequence[int]) -> None:
        """Note that it can."""
        self._note(_key("trains on one", model, classes, crop), True)

    def padding(self, model: Model, classes: int) -> Sequence[int] | None:
        """How a network's whole images are padded: two numbers, none where that is usual; None: not known."""
        found = self._known().get(_key("padding", model, classes))
        return found if isinstance(found, list) and len(found) in (0, 2) else None

    def note_padding(self, model: Model, classes: int, padding: Sequence[int]) -> None:
        """Note how they are."""
        self._note(_key("padding", model, classes), list(padding))

    def seconds(self, model: Model, classes: int, shape: Sequence[int]) -> float | None:
        """Seconds of a bare training step in one thread of this machine; None: none was timed."""
        found = self._known().get(_key("seconds", model, classes, shape, platform.node()))
        return found if isinstance(found, float) else None

    def note_seconds(self, model: Model, classes: int, shape: Sequence[int], seconds: float) -> None:
        """Note how long a bare training step took."""
        self._note(_key("seconds", model, classes, shape, platform.node()), seconds)

    def _known(self) -> dict[str, Any]:
        if self._notes is None:
            try:
                self._notes = dict(read_json(self._path))
            except (OSError, ValueError, TypeError):
                self._notes = {}  # it can always be found out again
        return self._notes

    def _note(self, key: str, value: Any) -> None:
        self._notes = None  # another process may have noted something meanwhile
        notes = self._known()
        notes[key] = value
        with suppress(OSError):
            write_text(self._path, json.dumps(notes, indent=1))


def _key(what: str, model: Model, *about: Any) -> str:
    network = model.evolve(weights_file=None, encoder_weights=None, weights_digest="").identity()
    return key_of({"what": what, "model": network, "about": about, "versions": versions(), "code": _code()})


@functools.cache
def _code() -> str:
    """Digest of the modules that build our networks."""
    files = sorted((Path(__file__).parents[1] / "models").glob("*.py"))
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()
