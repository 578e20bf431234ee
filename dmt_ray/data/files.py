"""What all layouts share: images that are paired with masks, what mask values mean, and lists of ids."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from dmt_ray import IGNORE
from dmt_ray.data.check import Problems
from dmt_ray.errors import DataError

IMAGE_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
MASK_ENDINGS = frozenset({".png"})


@dataclass(frozen=True, eq=False)
class MaskValues:
    """What the numbers in a mask file mean."""

    table: NDArray[np.uint8]  # class or `IGNORE` of each value, ``[256]``; `IGNORE` too where the value is not allowed
    allowed: NDArray[np.bool_]  # whether a value may occur, ``[256]``
    expected: str  # the allowed values in words

    @cached_property
    def digest(self) -> str:
        """What tells it from other meanings, as fingerprints hold it."""
        return hashlib.sha256(self.table.tobytes() + self.allowed.tobytes()).hexdigest()

    @classmethod
    def of(cls, classes: Mapping[int, int], ignore: Iterable[int], expected: str) -> "MaskValues":
        """Values that are classes, and values that are ignored.

        `classes` leads from a value in the file to a class; `expected` says both in words.
        """
        table, allowed = np.full(256, IGNORE, np.uint8), np.zeros(256, np.bool_)
        for value, number in classes.items():
            table[value], allowed[value] = number, True
        allowed[list(ignore)] = True
        return cls(table, allowed, expected)

    @classmethod
    def numbers(cls, classes: int, ignore: int) -> "MaskValues":
        """Class numbers 0..classes-1 as they are, and one value that is ignored."""
        return cls.of({k: k for k in range(classes)}, [ignore], f"0..{classes - 1} or {ignore} (ignore)")


@dataclass(frozen=True, eq=False)
class Item:
    """One image to decode."""

    id: str
    image: Path
    mask: Path | None
    values: MaskValues
    label: int | None = None  # the image's class, in classification


def files_in(folder: Path, endings: frozenset[str], root: Path, problems: Problems) -> dict[str, Path]:
    """The files of a folder by their names without ending, sorted; hidden files and other endings are left out."""
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        problems.add("folders that are missing or cannot be read", f"{below(folder, root)} ({error.strerror})")
        return {}
    found: dict[str, Path] = {}
    for path in paths:
        if path.suffix.lower() in endings:
            if path.stem in found:
                twins = f"{below(found[path.stem], root)} and {path.name}"
                problems.add("files that differ in their ending alone; expected one file a name", twins)
            found[path.stem] = path
    return found


def paired(images: Path, masks: Path, root: Path, values: MaskValues, problems: Problems) -> dict[str, Item]:
    """Images and masks of two folders that pair by file name; partners that are missing are problems."""
    image_files = files_in(images, IMAGE_ENDINGS, root, problems)
    mask_files = files_in(masks, MASK_ENDINGS, root, problems)
    if not (image_files and mask_files) and images.is_dir() and masks.is_dir():
        empty, endings = (masks, MASK_ENDINGS) if image_files else (images, IMAGE_ENDINGS)
        problems.add(f"folders without files that end in {', '.join(sorted(endings))}", below(empty, root))
        return {}
    if image_files and mask_files:
        for name in sorted(image_files.keys() - mask_files.keys()):
            kind = f"images without a mask; expected a PNG file of the same name in {below(masks, root)}/"
            problems.add(kind, below(image_files[name], root))
        for name in sorted(mask_files.keys() - image_files.keys()):
            kind = f"masks without an image; expected a file of the same name in {below(images, root)}/"
            problems.add(kind, below(mask_files[name], root))
    return {
        name: Item(name, image, mask_files[name], values) for name, image in image_files.items() if name in mask_files
    }


def of_ids(
    ids: Iterable[str], files: Mapping[str, Mapping[str, Path]], values: MaskValues, problems: Problems, note: str = ""
) -> list[Item]:
    """Listed images and masks; `files` are both by their ids, under the words for what is missing of an id."""
    for missing, existing in files.items():
        for id in ids:
            if existing and id not in existing:
                problems.add(f"listed ids without {missing}", f"{id}{note}")
    images, masks = files.values()
    return [Item(id, images[id], masks[id], values) for id in ids if id in images and id in masks]


def lines_of(path: Path, root: Path, problems: Problems) -> list[str]:
    """The lines of a list that are not empty."""
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a UTF-8 text"
        problems.add("lists that are missing or cannot be read", f"{below(path, root)} ({reason})")
        return []


def read_list(path: Path, root: Path, problems: Problems, depth: int = 1) -> list[str]:
    """The ids of a list, one a line, in the order of the file.

    Args:
        path: The list.
        root: The data set's folder, for what is said.
        problems: Takes a list that cannot be read, ids that are no plain names, and ids that are there twice.
        depth: How many names an id is made of: 1 for "cat", 2 for "berlin/berlin_0001".
    """
    ids: dict[str, None] = {}
    for line in lines_of(path, root, problems):
        if not is_plain(line, depth):
            kind = "list entries that are no plain ids; expected one file name without its ending a line"
            problems.add(kind, f"{line!r} in {below(path, root)}")
        elif line in ids:
            problems.add("ids that are twice in one list", f"{line} in {below(path, root)}")
        else:
            ids[line] = None
    return list(ids)


def drawn(ids: Sequence[str], share: float, seed: int) -> list[str]:
    """A share of some ids, one at least, drawn and sorted."""
    order = np.random.default_rng(seed).permutation(len(ids))
    return sorted(ids[i] for i in order[: max(1, round(share * len(ids)))])


def is_plain(id: str, depth: int = 1) -> bool:
    """Whether an id from a list stays where it belongs: no "..", no absolute path, as many names as expected."""
    parts = PurePosixPath(id).parts
    clean = all(part not in ("..", "/") and "\\" not in part and "\0" not in part for part in parts)
    return clean and 1 <= len(parts) <= depth and "/".join(parts) == id


def inside(root: Path, name: str, setting: str) -> Path:
    """The file or folder below the data set's folder that a setting names.

    Raises:
        DataError: If the name leads out of the folder.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or not path.parts:
        raise DataError(f"{setting} must name something below the data set's folder {root}, but got {name!r}")
    return root / path


def below(path: Path, root: Path) -> str:
    """A path as people see it: relative to the data set's folder."""
    return path.relative_to(root).as_posix()


def colours(count: int) -> NDArray[np.uint8]:
    """The palette of PASCAL VOC for up to 256 classes: the bits of a class spread over RGB, ``[count, 3]``."""
    bits = np.arange(count)[:, None, None] >> (3 * np.arange(8) + np.arange(3)[:, None]) & 1  # [count, channel, bit]
    palette: NDArray[np.uint8] = (bits << np.arange(7, -1, -1)).sum(2).astype(np.uint8)
    return palette
