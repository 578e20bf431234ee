"""CIFAR-10 (A. Krizhevsky, 2009) in the files of its Python version: cifar-10-batches-py/data_batch_1, ..., test_batch.

The files are pickles. They are read by their bytes, and nothing in them is run (`pickles`).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from dmt_ray.config import Task
from dmt_ray.data import pickles
from dmt_ray.data.check import Problems
from dmt_ray.data.decode import REVISION as DECODING
from dmt_ray.data.decode import BadFileError, Decoded, Decoder, Size, resized
from dmt_ray.data.files import below
from dmt_ray.data.source import Archive, Content, DataSource

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FOLDER = "cifar-10-batches-py"
FILES = {"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]}
SIDE = 32
VALUES = 3 * SIDE * SIDE  # of an image: its red, green and blue planes
REVISION = 1  # raised whenever the same files and the same working size give other pixels

EXPECTED = (
    "files that are not batches of CIFAR-10; expected a dict with data, uint8 [N, 3072], and labels, N classes 0..9"
)


class CifarData(DataSource):
    """CIFAR-10 as torchvision lays it out: cifar-10-batches-py/, 50,000 train and 10,000 test images of 32 x 32."""

    task: ClassVar[Task] = "classification"
    markers: ClassVar[tuple[str, ...]] = (FOLDER, "test_batch")

    name: Literal["cifar10"] = "cifar10"
    reported: Literal["test"] = "test"

    def archives(self) -> list[Archive]:
        """The one that torchvision knows; its own constructor would unpickle what it has downloaded."""
        from torchvision.datasets import CIFAR10  # seconds, and only needed here

        return [(CIFAR10.url, CIFAR10.tgz_md5)]

    def content(self, root: Path, problems: Problems) -> "Batches":
        """The files of each subset, in the folder itself or in `FOLDER` below it."""
        home = root / FOLDER if (root / FOLDER).is_dir() else root
        return Batches(CLASSES, {subset: [home / name for name in names] for subset, names in FILES.items()})


@dataclass(frozen=True)
class Batches(Content):
    """Content whose files hold many images each."""

    subsets: dict[str, list[Path]]

    def files(self) -> Iterable[Path]:
        """All batches."""
        return [path for paths in self.subsets.values() for path in paths]

    def identity(self, size: Size, digests: Mapping[Path, str]) -> Mapping[str, object]:
        """The bytes of the files."""
        subsets = {subset: [digests.get(path) for path in paths] for subset, paths in self.subsets.items()}
        return {"revision": [DECODING, REVISION], "classes": self.classes, "size": size, "subsets": subsets}

    def decode(self, subset: str, decoder: Decoder) -> Iterator[Decoded]:
        """The images of the files that can be used, in their order."""
        for file in self.subsets[subset]:
            if file not in decoder.digests:
                continue  # it could not be read, which is noted
            try:
                pixels, labels = _batch(file, decoder)
            except BadFileError as error:
                decoder.problems.add(*error.args)
                continue
            for number, (planes, label) in enumerate(zip(pixels, labels, strict=True)):
                image = np.ascontiguousarray(planes.transpose(1, 2, 0))
                yield Decoded.of_class(f"{file.name}/{number:05d}", resized(image, decoder.size), label)
        decoder.steps.one_more()


def _batch(file: Path, decoder: Decoder) -> tuple[NDArray[np.uint8], list[int]]:
    """Pixels ``[N, 3, 32, 32]`` and classes of one file."""
    try:
        pixels, labels = _checked(pickles.read(decoder.read(file)))
    except ValueError as error:
        raise BadFileError(EXPECTED, f"{below(file, decoder.root)} ({error})") from None
    return pixels.reshape(-1, 3, SIDE, SIDE), labels


def _checked(content: Any) -> tuple[NDArray[np.uint8], list[int]]:
    """Pixels ``[N, 3072]`` and classes; a ValueError says what is there instead."""
    if not isinstance(content, dict):
        raise ValueError(f"holds a {type(content).__name__}")
    # Who has read the published files in Python 3 as they are, and writes a part of them, has bytes for names.
    content = {name.decode("latin-1") if isinstance(name, bytes) else name: value for name, value in content.items()}
    missing = [name for name in ("data", "labels") if name not in content]
    if missing:
        raise ValueError(f"has no {' and no '.join(missing)}")
    pixels, labels = _array(content["data"]), content["labels"]
    if not isinstance(labels, list) or len(labels) != len(pixels):
        held = f"{len(labels):,} labels" if isinstance(labels, list) else f"labels of type {type(labels).__name__}"
        raise ValueError(f"holds {len(pixels):,} images but {held}")
    for label in labels:
        if type(label) is not int or not 0 <= label < len(CLASSES):
            raise ValueError(f"holds the label {label if type(label) is int else type(label).__name__}")
    return pixels, labels


def _array(data: Any) -> NDArray[np.uint8]:
    """The array of which the pickle holds the parts: (version, shape, type, whether in Fortran's order, bytes)."""
    match data:
        case pickles.Made(
            by=by,
            state=(1, (int(rows), int(columns)), pickles.Made(by="numpy dtype", arguments=(kind, *_)), False, held),
        ) if by.endswith("_reconstruct") and isinstance(held, bytes | str):
            content = held.encode("latin-1") if isinstance(held, str) else held
        case _:
            raise ValueError("its data are no array")
    if kind != "u1" or columns != VALUES or rows < 1 or len(content) != rows * columns:
        raise ValueError(f"its data are {kind} [{rows}, {columns}] of {len(content):,} bytes")
    return np.frombuffer(content, np.uint8).reshape(rows, columns)
