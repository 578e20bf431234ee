"""Opens a data set: finds its files, checks all of them, decodes them once, and says what they are by a digest."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dmt_ray import IGNORE
from dmt_ray.config import Data, Task
from dmt_ray.data.cache import Writer, explained, folder_for, open_decoded, remarks_in
from dmt_ray.data.check import Problems, Progress, Steps
from dmt_ray.data.decode import Decoded, Decoder
from dmt_ray.data.images import Images
from dmt_ray.data.manifest import digest_files
from dmt_ray.data.source import Content, DataSource
from dmt_ray.errors import DataError
from dmt_ray.plan.key import canonical
from dmt_ray.plan.words import counted


@dataclass(frozen=True)
class Dataset:
    """A data set that was checked and decoded."""

    name: str
    classes: tuple[str, ...]
    palette: NDArray[np.uint8]  # RGB colour of each class, ``[K, 3]``
    fingerprint: str
    """Digest of the content: ids, the files' bytes, mask values, classes, working size, decoding revision."""
    subsets: Mapping[str, Images]  # "train", and what there is of "val" and "test"
    root: Path | None  # the data set's folder; None where there is none
    task: Task = "segmentation"
    remarks: tuple[str, ...] = ()  # what a person should know before using it, a sentence each
    groups: Mapping[str, str] = field(default_factory=dict)  # id -> group that no draw tears apart
    decoded: Path | None = None  # the folder of the decoded images

    @property
    def channels(self) -> int:
        """Of the images."""
        return self.subsets["train"].channels


def find_root(data: Data, root: Path | None) -> Path:
    """The data set's folder: `root` if it is given, else what the environment variable DMT_DATA leads to.

    DMT_DATA is a folder that holds one folder for each data set, named as `data.name` is (or as in
    `data.further_folders`), or it is itself the data set's folder.

    Raises:
        DataError: If there is no such folder; the message says how to name one.
    """
    assert isinstance(data, DataSource)
    names = (data.name, *data.further_folders)
    hint = (
        f"Pass --data DIR, the folder of the data set {data.name!r}, or set the environment variable DMT_DATA "
        "to a folder that holds it, as camvid/ or VOCdevkit/"
    )
    if root is not None:
        if not root.is_dir():
            raise DataError(f"there is no folder {root}. {hint}")
        nested = next((root / name for name in names if (root / name).is_dir()), None)
        if nested is not None and not data.is_root(root):
            raise DataError(f"{root} is not the folder of the data set {data.name!r}; did you mean {nested}?")
        return root
    base = os.environ.get("DMT_DATA")
    if not base:
        raise DataError(f"the data set {data.name!r} was not found. {hint}")
    places = [Path(base) / name for name in names] + ([Path(base)] if data.is_root(Path(base)) else [])
    for place in places:
        if place.is_dir():
            return place
    raise DataError(f"there is no folder {places[0]} (DMT_DATA is {base}). {hint}")


def refuse_folder(data: Data, root: Path | None) -> None:
    """Refuse a folder for a data set that lies in none.

    Raises:
        DataError: If a folder is given for such a data set.
    """
    assert isinstance(data, DataSource)
    if root is not None and not data.in_files:
        raise DataError(
            f"the data set {data.name!r} is built in and needs no folder, but got --data {root}: leave out --data, or "
            "choose a --recipe for the images in it, such as folder"
        )


def open_dataset(data: Data, root: Path | None, cache: Path, progress: Progress | None = None) -> Dataset:
    """Finds and checks all files of a data set, decodes them unless that was done before, and opens the result.

    Args:
        data: Which data set, and its working size.
        root: The data set's folder; None: as `find_root` finds it.
        cache: Folder for decoded images, `cache/<name>-<fingerprint[:16]>/`. Nothing is written anywhere else.
        progress: Called with (done, total) while files are read; not called when nothing has to be read.

    Raises:
        DataError: If something is wrong with the data; one message names all of it. Also if the cache cannot be
            written, or `data.fingerprint` is set and the data are not what they were.
    """
    assert isinstance(data, DataSource)
    folder = find_root(data, root).absolute() if data.in_files else Path()
    problems = Problems()
    content = data.content(folder, problems)
    steps = Steps(progress, content.steps)
    with explained(cache), ThreadPoolExecutor(os.cpu_count()) as pool:
        files = content.files()
        digests = digest_files(files, folder, cache, pool, problems, steps) if files else {}
        content.compare(digests, problems)
        remarks = problems.remarks
        fingerprint = fingerprint_of(content, data, digests)
        place = folder_for(cache, data.name, fingerprint)
        if not problems:
            _check_fingerprint(data, folder, fingerprint)
        subsets = None if problems else open_decoded(place, fingerprint)
        if subsets is None:
            decoder = Decoder(folder, data.size, data.reading, digests, pool, problems, steps)
            sizes: dict[tuple[int, ...], str] = {}
            with Writer(place, data.channels) as writer:
                for subset in content.subsets:
                    images = _of_all_channels(content.decode(subset, decoder), data.channels, problems)
                    writer.add(subset, _watched(images, sizes, content.classes if subset == "train" else (), problems))
                if data.task == "classification" and len(sizes) > 1:
                    for (height, width), id in sizes.items():
                        kind = "images of several sizes; set data.size, as [32, 32]"
                        problems.add(kind, f"{id} ({height} x {width})")
                if problems:
                    raise problems.error(data.name, folder)
                subsets = writer.finish(fingerprint, problems.remarks[len(remarks) :])
    root = folder if data.in_files else None
    remarks += remarks_in(place)
    about = (data.name, content.classes, content.palette, fingerprint)
    return Dataset(*about, subsets, root, data.task, remarks, content.groups, place)


def fingerprint_of(content: Content, data: DataSource, digests: Mapping[Path, str]) -> str:
    """32 hex digits that stand for all pixels, classes and ids of a data set; `digests` are its files'."""
    identity = {**content.identity(data.size, digests), **data.reading.identity()}
    return hashlib.sha256(canonical(identity)).hexdigest()[:32]


def _check_fingerprint(data: DataSource, folder: Path, fingerprint: str) -> None:
    """Raise DataError if the settings belong to other data."""
    if data.fingerprint not in ("", fingerprint):
        what = f"the files in {folder}" if data.in_files else f"the {data.name} of this version"
        raise DataError(
            f"{what} are not the data that these settings were made for: expected fingerprint {data.fingerprint}, "
            f"found {fingerprint}. Restore the old files, or start a new experiment with data.fingerprint empty"
        )


def _of_all_channels(images: Iterator[Decoded], channels: int, problems: Problems) -> Iterator[Decoded]:
    """Passes images on that have the number of channels that the settings say; others, which no file has, are
    problems."""
    for image in images:
        if (found := image.image.shape[2]) == channels:
            yield image
        else:
            problems.add(f"images without the {counted(channels, 'channel')} of data.channels", f"{image.id} ({found})")


def _watched(
    images: Iterator[Decoded], sizes: dict[tuple[int, ...], str], classes: Sequence[str], problems: Problems
) -> Iterator[Decoded]:
    """Passes images on, notes the first of each size, and whether their masks tell two of the classes apart, if any."""
    seen = np.zeros(256, np.bool_)
    for image in images:
        sizes.setdefault(image.image.shape[:2], image.id)
        seen |= np.bincount(image.mask.ravel(), minlength=256) > 0
        yield image
    held = np.flatnonzero(seen[:IGNORE])
    if classes and len(held) < 2 and not problems:
        what = f"class {held[0]} ({classes[held[0]]})" if len(held) else "no class"
        kind = "train masks that hold fewer than two classes; expected class numbers, and not 255 for an object"
        problems.add(kind, f"all hold only {what} and ignore")
