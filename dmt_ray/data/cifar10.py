"""CIFAR-10 (A. Krizhevsky, 2009) in the files of its Python version: cifar-10-batches-py/data_batch_1, ..., test_batch.

The files are pickles. They are read by their bytes, and nothing in them is run (`pickles`).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dmt_ray.data import pickles
from dmt_ray.data.check import Problems
from dmt_ray.data.decode import BadFileError, Decoded, Size, digest
from dmt_ray.data.files import below

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FOLDER = "cifar-10-batches-py"
FILES: Mapping[str, tuple[str, ...]] = {
    "train": tuple(f"data_batch_{number}" for number in range(1, 6)),
    "test": ("test_batch",),
}
SIDE = 32
VALUES = 3 * SIDE * SIDE  # of an image: its red, green and blue planes
REVISION = 1
"""Raised whenever the same files and the same working size give other pixels."""

EXPECTED = (
    "files that are no batches of CIFAR-10; expected a dict with data, uint8 [N, 3072], and labels, N classes 0..9"
)


def find_files(root: Path) -> dict[str, list[Path]]:
    """Where the files of each subset lie, in the folder itself or in `FOLDER` below it."""
    home = root / FOLDER if (root / FOLDER).is_dir() else root
    return {subset: [home / name for name in names] for subset, names in FILES.items()}


def decode(
    files: list[Path], root: Path, size: Size, digests: Mapping[Path, str], problems: Problems
) -> Iterator[Decoded]:
    """The images of some files in their order; what is wrong with a file goes to `problems`.

    Args:
        files: Files below `root`.
        root: The data set's folder, for what is said.
        size: Working (height, width); None: 32 x 32.
        digests: What the files' bytes are expected to be.
        problems: Takes what is wrong.
    """
    for file in files:
        try:
            pixels, labels = _batch(file, root, digests)
        except BadFileError as error:
            problems.add(error.kind, error.what)
            continue
        for number, (planes, label) in enumerate(zip(pixels, labels, strict=True)):
            image = Image.fromarray(np.ascontiguousarray(planes.transpose(1, 2, 0)))
            if size is not None:
                image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
            mask = np.full((1, 1), label, np.uint8)
            yield Decoded(f"{file.name}/{number:05d}", np.asarray(image), mask, known=True)


def _batch(file: Path, root: Path, digests: Mapping[Path, str]) -> tuple[NDArray[np.uint8], list[int]]:
    """Pixels ``[N, 3, 32, 32]`` and classes of one file."""
    content = file.read_bytes()
    if digest(content) != digests[file]:
        raise BadFileError("files that changed while they were read; start again", below(file, root))
    try:
        pixels, labels = _checked(pickles.read(content))
    except ValueError as error:
        raise BadFileError(EXPECTED, f"{below(file, root)} ({error})") from None
    return pixels.reshape(-1, 3, SIDE, SIDE), labels


def _checked(found: Any) -> tuple[NDArray[np.uint8], list[int]]:
    """Pixels ``[N, 3072]`` and classes.

    Raises:
        ValueError: With what was found instead.
    """
    if not isinstance(found, dict):
        raise ValueError(f"holds a {type(found).__name__}")
    # Who has read the published files in Python 3 as they are, and writes a part of them, has bytes for names.
    found = {name.decode("latin-1") if isinstance(name, bytes) else name: value for name, value in found.items()}
    missing = [name for name in ("data", "labels") if name not in found]
    if missing:
        raise ValueError(f"has no {' and no '.join(missing)}")
    pixels, labels = _array(found["data"]), found["labels"]
    if not isinstance(labels, list) or len(labels) != len(pixels):
        held = f"{len(labels)} labels" if isinstance(labels, list) else f"labels of type {type(labels).__name__}"
        raise ValueError(f"holds {len(pixels)} images but {held}")
    wrong = [label for label in labels if type(label) is not int or not 0 <= label < len(CLASSES)]
    if wrong:
        raise ValueError(f"holds the label {wrong[0] if type(wrong[0]) is int else type(wrong[0]).__name__}")
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
        raise ValueError(f"its data are {kind} [{rows}, {columns}] of {len(content)} bytes")
    return np.frombuffer(content, np.uint8).reshape(rows, columns)
