"""Decoded images on disk: written to a staging folder that is renamed, so that a folder with its final name is whole.

Two processes may decode the same data at once; the one that is later uses what the other wrote.
"""

import json
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BufferedWriter
from pathlib import Path

import numpy as np

from dmt_ray.data.decode import Decoded
from dmt_ray.data.images import Images
from dmt_ray.errors import DataError
from dmt_ray.files import read_json, system_error

RECORD, REMARKS = "dataset.json", "remarks.json"
ABANDONED_S = 24 * 3600  # an unfinished folder this old was left by a process that is gone


def folder_for(cache: Path, name: str, fingerprint: str) -> Path:
    """Where the decoded images of a data set lie."""
    return cache / f"{name}-{fingerprint[:16]}"


def open_decoded(folder: Path, fingerprint: str) -> dict[str, Images] | None:
    """The subsets in a folder, memory-mapped; None if they are not there or not whole."""
    try:
        record = read_json(folder / RECORD)
        whole = all((folder / name).stat().st_size == size for name, size in record["bytes"].items())
        if record["fingerprint"] != fingerprint or not whole:
            return None
        one_class = bool(record.get("one_class"))
        subsets = record["subsets"].items()
        return {subset: _open_subset(folder, subset, tuple(ids), one_class) for subset, ids in subsets}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def remarks_in(folder: Path) -> tuple[str, ...]:
    """What was noted when the images in a folder were decoded."""
    try:
        return tuple(map(str, read_json(folder / REMARKS)))
    except (OSError, ValueError, TypeError):  # as of an earlier version
        return ()


def _open_subset(folder: Path, subset: str, ids: tuple[str, ...], one_class: bool) -> Images:
    sizes, known = (np.load(folder / f"{subset}.{name}.npy", allow_pickle=False) for name in ("sizes", "known"))
    offsets = np.concatenate([[0], np.cumsum(sizes.astype(np.int64).prod(axis=1))])
    pixels, masks = (np.load(folder / f"{subset}.{name}.npy", mmap_mode="c") for name in ("pixels", "masks"))
    return Images(ids, sizes, offsets, pixels, masks, known, one_class)


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turns an OSError of the body into a DataError that names the folder."""
    try:
        yield
    except OSError as error:
        raise DataError(f"cannot write the decoded images to {folder}: {system_error(error, folder)}") from None


class Writer:
    """A folder of decoded images in the making: `finish` gives it its name, leaving the block removes the rest."""

    def __init__(self, folder: Path, channels: int) -> None:
        self._folder, self._channels = folder, channels
        folder.parent.mkdir(parents=True, exist_ok=True)
        for path in folder.parent.glob(f".{folder.name}.*"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > ABANDONED_S:
                    shutil.rmtree(path, ignore_errors=True)
        self._staging = folder.parent / f".{folder.name}.{uuid.uuid4().hex}"
        self._staging.mkdir()
        self._ids: dict[str, list[str]] = {}
        self._one_class = False

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *error: object) -> None:
        shutil.rmtree(self._staging, ignore_errors=True)
        for path in self._folder.parent.glob(f".{self._folder.name}.*.damaged"):
            shutil.rmtree(path, ignore_errors=True)

    def add(self, subset: str, images: Iterable[Decoded]) -> None:
        """Writes one subset as the images come, holding only one of them in memory."""
        ids: list[str] = []
        sizes: list[tuple[int, int]] = []
        known: list[bool] = []
        start = str(self._staging / subset)
        tail = (self._channels,)
        with _growing(f"{start}.pixels.npy", tail) as pixels, _growing(f"{start}.masks.npy", ()) as masks:
            for image in images:
                height, width = image.image.shape[:2]
                self._one_class |= image.mask.shape != (height, width)
                ids.append(image.id)
                sizes.append((height, width))
                known.append(image.known)
                pixels.write(np.ascontiguousarray(image.image).data)
                masks.write(np.ascontiguousarray(image.mask).data)
        np.save(f"{start}.sizes.npy", np.array(sizes, np.int32).reshape(-1, 2), allow_pickle=False)
        np.save(f"{start}.known.npy", np.array(known, np.bool_), allow_pickle=False)
        self._ids[subset] = ids

    def finish(self, fingerprint: str, remarks: Sequence[str] = ()) -> dict[str, Images]:
        """Writes remarks and the record, gives the folder its name unless another process was faster, and opens it."""
        (self._staging / REMARKS).write_text(json.dumps(list(remarks)), encoding="utf-8")
        sizes = {path.name: path.stat().st_size for path in sorted(self._staging.iterdir())}
        record = {"fingerprint": fingerprint, "subsets": self._ids, "bytes": sizes, "one_class": self._one_class}
        with (self._staging / RECORD).open("w", encoding="utf-8") as file:
            json.dump(record, file)
            file.flush()
            os.fsync(file.fileno())
        try:
            self._staging.rename(self._folder)
        except OSError:
            if (subsets := open_decoded(self._folder, fingerprint)) is not None:
                return subsets
            # What is there is damaged. Whoever still reads it keeps the files open until done.
            with suppress(FileNotFoundError):
                self._folder.rename(self._folder.parent / f".{self._folder.name}.{uuid.uuid4().hex}.damaged")
            self._staging.rename(self._folder)
        subsets = open_decoded(self._folder, fingerprint)
        if subsets is None:
            raise DataError(f"{self._folder} was removed while it was being written; start again")
        return subsets


@contextmanager
def _growing(path: str, tail: tuple[int, ...]) -> Iterator[BufferedWriter]:
    """A uint8 .npy file that is written from front to back; its header is completed at the end."""
    with open(path, "wb") as file:
        _header(file, (0, *tail))
        start = file.tell()
        yield file
        items = (file.tell() - start) // int(np.prod(tail, dtype=np.int64))
        file.seek(0)
        _header(file, (items, *tail))
        # NumPy leaves room for a first dimension of any length.
        assert file.tell() == start
        file.flush()
        os.fsync(file.fileno())


def _header(file: BufferedWriter, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
