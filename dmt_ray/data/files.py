"""What all layouts share: images that are paired with masks, what mask values mean, and lists of ids."""

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from dmt_ray.data.check import Problems
from dmt_ray.data.mask_values import MaskValues
from dmt_ray.errors import DataError

IMAGE_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
MASK_ENDINGS = frozenset({".png"})
LOSSLESS_ENDINGS = MASK_ENDINGS | {".tif", ".tiff", ".bmp"}
LOSSY_ENDINGS = frozenset({".jpg", ".jpeg", ".webp"})  # of masks that are refused (`pictures.LOSSY`)
# Of pictures, too, but not read; any other ending is of no picture.
UNREAD_ENDINGS = frozenset({
    ".gif", ".jfif", ".jp2", ".j2k", ".jxl", ".heic", ".heif", ".avif", ".ppm", ".pgm", ".tga", ".dng", ".npy", ".dcm",
})  # fmt: skip
STRANGE = "files whose names hold control characters or are not UTF-8; rename them"
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
SUBSETS = {"valid": "val", "validation": "val", "dev": "val", "training": "train", "testing": "test"}
"""What others call the folders of subsets -> what they are called here."""


# A path with an ending, and perhaps that of the mask behind a space, tab or comma.
_PATHS = re.compile(r"(?P<image>\S.*?\.(?:png|jpe?g|bmp|tiff?|webp))(?:[\s,]+(?P<mask>\S.*\.png))?", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Item:
    """One image to decode."""

    id: str
    image: Path
    mask: Path | None
    values: MaskValues
    label: int | None = None  # the image's class, in classification
    further: tuple[tuple[Path, MaskValues], ...] = ()  # masks that are laid over `mask`, and what their values mean

    @property
    def masks(self) -> tuple[tuple[Path, MaskValues], ...]:
        """All mask files, and what their values mean."""
        return () if self.mask is None else ((self.mask, self.values), *self.further)


def files_in(folder: Path, endings: frozenset[str], root: Path, problems: Problems) -> dict[str, Path]:
    """The files of a folder by their names without ending, sorted.

    Hidden files are left out, files with other endings as well, with a remark. Folders among the files are problems,
    and so are images of formats that are not read.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        problems.add("folders that are missing or cannot be read", f"{below(folder, root)} ({error.strerror})")
        return {}
    found: dict[str, Path] = {}
    for path in paths:
        if not is_printable(path.name):
            problems.add(STRANGE, below(path, root))
        elif path.is_dir():
            problems.add("folders among the files, which would not be read; expected only files", below(path, root))
        elif path.suffix.lower() in endings:
            if path.stem in found:
                twins = f"{below(found[path.stem], root)} and {path.name}"
                problems.add("files that differ only in their extension; expected one file per name", twins)
            found[path.stem] = path
        elif endings is IMAGE_ENDINGS and path.suffix.lower() in UNREAD_ENDINGS:
            problems.add(f"images in formats that are not read; expected {listed(endings)}", below(path, root))
        else:
            kind = f"files that are skipped, because their names do not end in {listed(endings)}"
            problems.remark(kind, below(path, root))
    return found


def is_printable(name: str) -> bool:
    """Whether a file's name is Unicode without control characters, and so can stand in a list and in a table."""
    return _UNPRINTABLE.search(name) is None


def refuse_lookalikes(root: Path, names: Iterable[str], problems: Problems) -> None:
    """Problems are folders that would be left out because a subset is called otherwise: `valid` or `Val` for `val`."""
    wanted = set(names)
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        end = "annot" if path.name.lower().endswith("annot") else ""
        name = path.name.lower().removesuffix(end)
        right = SUBSETS.get(name, name) + end
        if right == path.name or right not in wanted or not path.is_dir():
            continue
        if not ((root / right).exists() and path.samefile(root / right)):  # where case does not matter, it is the one
            problems.add("folders that would not be read under their names", f"{path.name} (expected {right})")


def listed(endings: frozenset[str]) -> str:
    """Endings for people, with commas."""
    return ", ".join(sorted(endings))


def paired(
    images: Path, masks: Path, root: Path, values: MaskValues, problems: Problems, note: str = ""
) -> dict[str, Item]:
    """Images and masks of two folders that pair by file name; partners that are missing are problems.

    `note` says what else can be done about images that have no masks.
    """
    image_files = files_in(images, IMAGE_ENDINGS, root, problems)
    mask_files = files_in(masks, MASK_ENDINGS, root, problems)
    if not (image_files and mask_files) and images.is_dir() and masks.is_dir():
        empty, endings = (masks, MASK_ENDINGS) if image_files else (images, IMAGE_ENDINGS)
        problems.add(f"folders without files that end in {listed(endings)}", below(empty, root))
        return {}
    if image_files and mask_files:
        for name in sorted(image_files.keys() - mask_files.keys()):
            kind = f"images without a mask; expected a PNG file of the same name in {below(masks, root)}/{note}"
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
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a UTF-8 text"
        problems.add("lists that are missing or cannot be read", f"{below(path, root)} ({reason})")
        return []


def read_list(path: Path, root: Path, problems: Problems, known: Container[str], depth: int = 1) -> list[str]:
    """The ids of a list, one a line, in the order of the file.

    A line may also be the image's path, or the paths of an image and its mask, as in the lists of UniMatch:
    "JPEGImages/2007_000032.jpg SegmentationClass/2007_000032.png". Of these the image's name counts.

    Args:
        path: The list.
        root: The data set's folder, for what is said.
        problems: Takes a list that cannot be read, ids that are no plain names, and ids that are there twice.
        known: The ids that there are.
        depth: How many names an id is made of: 1 for "cat", 2 for "berlin/berlin_0001".
    """
    ids: dict[str, None] = {}
    for line in lines_of(path, root, problems):
        id = id_of(line, depth, known)
        if id is None:
            kind = "list entries that are not plain ids; expected one file name without its extension per line"
            problems.add(kind, f"{line!r} in {below(path, root)}")
        elif id in ids:
            problems.add("ids that are twice in one list", f"{id} in {below(path, root)}")
        else:
            ids[id] = None
    return list(ids)


def id_of(line: str, depth: int, known: Container[str]) -> str | None:
    """The id that a line of a list stands for, whether it is known or not; None: for none."""
    if line in known and is_plain(line, depth):
        return line
    paths = _PATHS.fullmatch(line)
    if paths is None:
        return line if is_plain(line, depth) else None
    # A name may hold a space, and even look like a pair.
    whole = [] if "/" in line and paths["mask"] is not None else [(line, None)]
    for image, mask in (*whole, (paths["image"], paths["mask"])):
        for id in _ids_of(image, depth):
            if id in known and (mask is None or PurePosixPath(mask).name.startswith(PurePosixPath(id).name)):
                return id
    return next(iter(_ids_of(line, depth)), None) if paths["mask"] is None else None


def _ids_of(path: str, depth: int) -> Iterator[str]:
    """What an image's path may stand for: its last names, as many as an id has or fewer, without the ending."""
    *folders, last = PurePosixPath(path).parts
    if is_plain(path, len(folders) + 1):
        stem = PurePosixPath(last).stem
        for name in dict.fromkeys((stem, stem.removesuffix("_leftImg8bit") or stem)):  # as Cityscapes has it
            names = [*folders, name]
            yield from ("/".join(names[-count:]) for count in range(min(depth, len(names)), 0, -1))


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
