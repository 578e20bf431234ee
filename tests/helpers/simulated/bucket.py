"""An object store in memory, with the part of `pyarrow.fs.FileSystem` that the store uses.

An object is there as a whole or not at all, and whoever asks for it by name sees its latest version, as S3 and GCS
promise. A request may fail, its answer may be lost, and bytes may be changed on their way; a list may be `late`.
"""

import io
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from pyarrow import fs  # type: ignore[import-untyped]


class Info(NamedTuple):
    """What is known of an object."""

    path: str
    type: fs.FileType

    @property
    def is_file(self) -> bool:
        """Whether it exists."""
        return bool(self.type == fs.FileType.File)


@dataclass
class Troubles:
    """How often requests go wrong, in [0, 1]."""

    fails: float = 0.0  # nothing is done
    lost: float = 0.0  # it is done, and the answer does not arrive
    altered: float = 0.0  # one byte of what is read is another one
    late: float = 0.0  # seconds after which a list names a new object at the latest


@dataclass
class Bucket:
    """Objects, and what a client does with them.

    Attributes:
        step: Called with each request before it is carried out.
        now: The true time.
        choose: Decides what goes wrong.
    """

    step: Callable[[str], object]
    now: Callable[[], float]
    choose: random.Random
    troubles: Troubles
    objects: dict[str, tuple[bytes, float]] = field(default_factory=dict)  # and from when on lists name them
    type_name: str = "s3"

    def _request(self, what: str) -> None:
        self.step(f"bucket {what}")
        if self.choose.random() < self.troubles.fails:
            raise OSError(f"cannot {what}: the connection was closed")

    def get_file_info(self, of: list[str] | fs.FileSelector) -> list[Info]:
        """Which of these objects exist, or all below a path."""
        if isinstance(of, list):
            self._request("look up")
            return [Info(path, self._type(path)) for path in of]
        self._request("list")
        below = f"{of.base_dir}/"
        seen = [path for path, (_, since) in self.objects.items() if path.startswith(below) and since <= self.now()]
        return [Info(path, fs.FileType.File) for path in sorted(seen)]

    def _type(self, path: str) -> fs.FileType:
        if path in self.objects:
            return fs.FileType.File
        return fs.FileType.NotFound if "/" in path else fs.FileType.Directory

    def open_input_stream(self, path: str, compression: None = None) -> "Download":
        """Read an object."""
        self._request("read")
        if path not in self.objects:
            raise FileNotFoundError(path)
        content = self.objects[path][0]
        if content and self.choose.random() < self.troubles.altered:
            at = self.choose.randrange(len(content))
            content = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        return Download(content)

    open_input_file = open_input_stream

    def open_output_stream(self, path: str, compression: None = None) -> "Upload":
        """Write an object; it exists when this is closed."""
        return Upload(self, path)

    def put(self, path: str, content: bytes) -> None:
        """Write an object."""
        self._request("write")
        late = self.choose.random() * self.troubles.late
        since = self.objects[path][1] if path in self.objects else self.now() + late
        self.objects[path] = content, since
        if self.choose.random() < self.troubles.lost:
            raise OSError("cannot write: no answer")


class Download(io.BytesIO):
    """An object that is being read."""

    def size(self) -> int:
        """Its bytes."""
        return len(self.getbuffer())


class Upload(io.BytesIO):
    """An object that is being written."""

    def __init__(self, bucket: Bucket, path: str) -> None:
        super().__init__()
        self._bucket, self._path = bucket, path

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._bucket.put(self._path, self.getvalue())
