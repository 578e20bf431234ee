"""Opens a data set: finds its files, checks all of them, decodes them once, and says what they are by a digest."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dmt_ray import IGNORE
from dmt_ray.config import (
    CamvidData,
    CifarData,
    CityscapesData,
    ClassFoldersData,
    Data,
    DigitsData,
    FolderData,
    PetsData,
    ShapesData,
    Task,
    VocData,
)
from dmt_ray.data import camvid, cifar10, cityscapes, class_folders, folder, pets, voc
from dmt_ray.data.cache import Writer, explained, folder_for, open_decoded
from dmt_ray.data.check import Problems
from dmt_ray.data.decode import REVISION, Decoded, decode_all
from dmt_ray.data.files import Listing, colours
from dmt_ray.data.images import Images
from dmt_ray.data.manifest import digest_files
from dmt_ray.data.steps import Progress, Steps
from dmt_ray.errors import DataError
from dmt_ray.plan.key import canonical

SHAPES_SIDE = 64  # pixels, where no working size is set

MARKERS: Mapping[str, tuple[str, ...]] = {
    "camvid": ("trainannot",),
    "voc": ("VOCdevkit",),
    "cityscapes": ("leftImg8bit",),
    "class_folders": ("train",),
    "cifar10": (cifar10.FOLDER, "test_batch"),
    "pets": (pets.FOLDER, "annotations"),
}
"""What a data set's folder holds, one of them at least."""

PARTS: Mapping[str, tuple[str, ...]] = {"voc": ("voc_animals",), "class_folders": ("cifar10_small",)}
"""Further names of a data set's folder below DMT_DATA."""


@dataclass(frozen=True)
class Dataset:
    """A data set that was checked and decoded."""

    name: str
    classes: tuple[str, ...]
    palette: NDArray[np.uint8]
    """RGB colour of each class, ``[K, 3]``."""
    fingerprint: str
    """Digest of the content: ids, the files' bytes, mask values, classes, working size, decoding revision."""
    subsets: Mapping[str, Images]
    """"train", and what there is of "val" and "test"."""
    root: Path | None
    """The data set's folder; None where there is none."""
    task: Task = "segmentation"


def find_root(data: Data, root: Path | None) -> Path:
    """The data set's folder: `root` if it is given, else what the environment variable DMT_DATA leads to.

    DMT_DATA is a folder that holds one folder for each data set, named as `data.name` is (or as in `PARTS`), or it is
    itself the data set's folder.

    Raises:
        DataError: If there is no such folder; the message says how to name one.
    """
    markers = (data.images,) if isinstance(data, FolderData) else MARKERS.get(data.name, ("images",))
    names = (data.name, *PARTS.get(data.name, ()))
    hint = (
        f"Pass --data DIR, the folder of the data set {data.name!r}, or set the environment variable DMT_DATA "
        "to a folder that holds it, as camvid/ or VOCdevkit/"
    )
    if root is not None:
        if not root.is_dir():
            raise DataError(f"there is no folder {root}. {hint}")
        nested = next((root / name for name in names if (root / name).is_dir()), None)
        if nested is not None and not _holds(root, markers):
            raise DataError(f"{root} is not the folder of the data set {data.name!r}; did you mean {nested}?")
        return root
    base = os.environ.get("DMT_DATA")
    if not base:
        raise DataError(f"the data set {data.name!r} was not found. {hint}")
    places = [Path(base) / name for name in names] + ([Path(base)] if _holds(Path(base), markers) else [])
    for place in places:
        if place.is_dir():
            return place
    raise DataError(f"there is no folder {places[0]} (DMT_DATA is {base}). {hint}")


def _holds(folder: Path, markers: Sequence[str]) -> bool:
    return any((folder / marker).exists() for marker in markers)


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
    if isinstance(data, ShapesData):
        return _open_shapes(data, cache, progress)
    if isinstance(data, DigitsData):
        return _open_digits(data, cache)
    root = find_root(data, root).absolute()
    if isinstance(data, CifarData):
        return _open_cifar10(data, root, cache, progress)
    problems = Problems()
    listing = _find_files(data, root, problems)
    for subset, items in listing.subsets.items():
        if not items and not problems:
            problems.add("subsets without images", subset)
    _find_leaks(listing, problems)
    steps = Steps(progress, sum(len(items) for items in listing.subsets.values()))
    with explained(cache), ThreadPoolExecutor(os.cpu_count()) as pool:
        items = [item for items in listing.subsets.values() for item in items]
        paths = dict.fromkeys(path for item in items for path in (item.image, item.mask) if path is not None)
        digests = digest_files(paths, root, cache, pool, problems, steps)
        fingerprint = _fingerprint(listing, digests, data.size)
        place = folder_for(cache, data.name, fingerprint)
        subsets = None if problems else _open_unchanged(data, place, fingerprint, f"the files in {root}")
        if subsets is None:
            sizes: dict[tuple[int, ...], str] = {}
            with Writer(place) as writer:
                for subset, items in listing.subsets.items():
                    readable = [item for item in items if {item.image, item.mask or item.image} <= digests.keys()]
                    images = _measured(decode_all(readable, root, data.size, digests, pool, problems, steps), sizes)
                    writer.add(subset, _watched(images, listing.classes, problems) if subset == "train" else images)
                if data.task == "classification" and len(sizes) > 1:
                    for (height, width), id in sizes.items():
                        problems.add(
                            "images of several sizes; set data.size, as [32, 32]", f"{id} ({height} x {width})"
                        )
                if problems:
                    raise problems.error(data.name, root)
                subsets = writer.finish(fingerprint)
    return Dataset(data.name, listing.classes, listing.palette, fingerprint, subsets, root, data.task)


def _find_files(data: Data, root: Path, problems: Problems) -> Listing:
    match data:
        case CamvidData():
            return camvid.find_files(data, root, problems)
        case VocData():
            return voc.find_files(data, root, problems)
        case CityscapesData():
            return cityscapes.find_files(data, root, problems)
        case FolderData():
            return folder.find_files(data, root, problems)
        case ClassFoldersData():
            return class_folders.find_files(data, root, problems)
        case PetsData():
            return pets.find_files(data, root, problems)
    raise ValueError(f"{data.name!r} has no files")


def _find_leaks(listing: Listing, problems: Problems) -> None:
    first: dict[str, str] = {}
    for subset, items in listing.subsets.items():
        for item in items:
            other = first.setdefault(item.id, subset)
            if other != subset:
                kind = "images in two subsets; expected none, or the scores would be of images that were trained on"
                problems.add(kind, f"{item.id} ({other} and {subset})")


def _fingerprint(listing: Listing, digests: Mapping[Path, str], size: tuple[int, int] | None) -> str:
    values = {id(item.values): item.values for items in listing.subsets.values() for item in items}
    meanings = {
        key: hashlib.sha256(value.table.tobytes() + value.allowed.tobytes()).hexdigest()
        for key, value in values.items()
    }
    subsets = {
        subset: [
            [item.id, digests.get(item.image), item.mask and digests.get(item.mask), meanings[id(item.values)]]
            + ([] if item.label is None else [item.label])
            for item in items
        ]
        for subset, items in listing.subsets.items()
    }
    return _digest({"revision": REVISION, "classes": listing.classes, "size": size, "subsets": subsets})


def _digest(content: Mapping[str, object]) -> str:
    return hashlib.sha256(canonical(content)).hexdigest()[:32]


def _open_unchanged(data: Data, place: Path, fingerprint: str, what: str) -> Mapping[str, Images] | None:
    """The decoded images, if they are there.

    Raises:
        DataError: If the settings belong to other data.
    """
    if data.fingerprint not in ("", fingerprint):
        raise DataError(
            f"{what} are not the data that these settings were made for: expected fingerprint {data.fingerprint}, "
            f"found {fingerprint}. Bring the old files back, or start a new experiment with data.fingerprint empty"
        )
    return open_decoded(place, fingerprint)


def _measured(images: Iterator[Decoded], sizes: dict[tuple[int, ...], str]) -> Iterator[Decoded]:
    """Passes images on, and notes the first of each size."""
    for image in images:
        sizes.setdefault(image.image.shape[:2], image.id)
        yield image


def _watched(images: Iterator[Decoded], classes: Sequence[str], problems: Problems) -> Iterator[Decoded]:
    """Passes the train images on, and finds out whether their masks tell at least two classes apart."""
    seen = np.zeros(256, np.bool_)
    for image in images:
        seen |= np.bincount(image.mask.ravel(), minlength=256) > 0
        yield image
    found = np.flatnonzero(seen[:IGNORE])
    if len(found) < 2 and not problems:
        held = f"class {found[0]} ({classes[found[0]]})" if len(found) else "no class"
        kind = "train masks that hold fewer than two classes; expected class numbers, and not 255 for an object"
        problems.add(kind, f"all hold {held} and ignore alone")


def _open_shapes(data: ShapesData, cache: Path, progress: Progress | None) -> Dataset:
    from dmt_ray.data import shapes  # loads scikit-learn, which no other data set needs

    height, width = data.size or (SHAPES_SIDE, SHAPES_SIDE)
    if height != width or height < 16:
        raise DataError(f"data.size of shapes must be a square of at least 16 x 16, but got {height} x {width}")
    fingerprint = _digest({
        "revision": [REVISION, shapes.REVISION], "classes": shapes.CLASSES, "counts": shapes.COUNTS, "size": height,
    })  # fmt: skip
    place = folder_for(cache, data.name, fingerprint)
    subsets = _open_unchanged(data, place, fingerprint, "the shapes of this version")
    if subsets is None:
        steps = Steps(progress, len(shapes.COUNTS))
        with explained(cache), Writer(place) as writer:
            for subset in shapes.COUNTS:
                images, masks, ids = shapes.generate(subset, size=height, counts=shapes.COUNTS)
                writer.add(subset, (Decoded(*one, known=True) for one in zip(ids, images, masks, strict=True)))
                steps.one_more()
            subsets = writer.finish(fingerprint)
    return Dataset(data.name, shapes.CLASSES, colours(len(shapes.CLASSES)), fingerprint, subsets, None)


def _open_digits(data: DigitsData, cache: Path) -> Dataset:
    from dmt_ray.data import digits  # loads scikit-learn

    fingerprint = _digest({"revision": [REVISION, digits.REVISION], "classes": digits.CLASSES, "size": data.size})
    place = folder_for(cache, data.name, fingerprint)
    subsets = _open_unchanged(data, place, fingerprint, "the digits of this version")
    if subsets is None:
        with explained(cache), Writer(place) as writer:
            for subset, images in digits.generate(data.size).items():
                writer.add(subset, images)
            subsets = writer.finish(fingerprint)
    palette = colours(len(digits.CLASSES))
    return Dataset(data.name, digits.CLASSES, palette, fingerprint, subsets, None, data.task)


def _open_cifar10(data: CifarData, root: Path, cache: Path, progress: Progress | None) -> Dataset:
    problems, files = Problems(), cifar10.find_files(root)
    paths = [path for found in files.values() for path in found]
    with explained(cache), ThreadPoolExecutor(os.cpu_count()) as pool:
        digests = digest_files(paths, root, cache, pool, problems, Steps(progress, 0))
        if problems:
            raise problems.error(data.name, root)
        fingerprint = _digest({
            "revision": [REVISION, cifar10.REVISION], "classes": cifar10.CLASSES, "size": data.size,
            "subsets": {subset: [digests[path] for path in found] for subset, found in files.items()},
        })  # fmt: skip
        place = folder_for(cache, data.name, fingerprint)
        subsets = _open_unchanged(data, place, fingerprint, f"the files in {root}")
        if subsets is None:
            with Writer(place) as writer:
                for subset, found in files.items():
                    writer.add(subset, cifar10.decode(found, root, data.size, digests, problems))
                if problems:
                    raise problems.error(data.name, root)
                subsets = writer.finish(fingerprint)
    palette = colours(len(cifar10.CLASSES))
    return Dataset(data.name, cifar10.CLASSES, palette, fingerprint, subsets, root, data.task)
