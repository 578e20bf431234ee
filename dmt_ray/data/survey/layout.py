"""Which files of a folder are images, masks and lists, told by the names that people give them.

Files become candidates for a mask by a word in their name or in that of a folder; the patterns under which most of them
find an image are taken. What comes out are settings of the data set `folder` or `class_folders`, which read the same.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from dmt_ray.config import Task
from dmt_ray.data.check import Problems
from dmt_ray.data.files import IMAGE_ENDINGS, LOSSLESS_ENDINGS, SUBSETS, UNREAD_ENDINGS, below, id_of, listed
from dmt_ray.data.pairing import Found, Pattern, files_below, find
from dmt_ray.data.pictures import LOSSY
from dmt_ray.data.survey.names import one_file_an_object, pairs
from dmt_ray.errors import DataError
from dmt_ray.plan.words import counted

_BARE_FOLDER = re.compile(r"unlabel+ed|more|extra|raw|without.*", re.IGNORECASE)
_LISTS = (".txt", ".lst", ".csv")
_PART = re.compile(r"(^|[_\W])(train|training|val|valid|validation|dev|test|testing)(aug)?([_\W]|$)", re.IGNORECASE)
MOST_FOUND = 0.5  # of a list's lines, or of the pictures of a layout: fewer are chance


@dataclass(frozen=True)
class Layout:
    """Where images and masks lie."""

    task: Task
    settings: Mapping[str, str]  # of `data`: images, masks, lists, unlabelled, without_mask
    images: tuple[Path, ...]  # those with a mask; in classification all
    masks: tuple[tuple[Path, ...], ...]  # files of each of them; none in classification
    bare: tuple[Path, ...] = ()  # images without a mask
    classes: tuple[str, ...] = ()  # in classification, the names of the folders
    subsets: Mapping[str, int] = field(default_factory=dict)  # images of each list
    left_out: tuple[str, ...] = ()  # pictures that are neither, relative to the folder


def layout_of(folder: Path) -> Layout:
    """Looks at the names of all files in a folder and in those below it.

    Raises:
        DataError: If it holds no pictures, or neither masks nor folders of classes can be told; with what to do.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}. Name the folder that holds your images")
    problems = Problems()
    files = list(files_below(folder, folder, problems))
    if problems:
        raise problems.error("folder", folder)
    pictures = [path for path in files if path.suffix.lower() in IMAGE_ENDINGS]
    if not pictures:
        unread = Counter(path.suffix.lower() for path in files if path.suffix.lower() in UNREAD_ENDINGS)
        found = f", but {', '.join(f'{count:,} of {name}' for name, count in unread.items())}" if unread else ""
        raise DataError(f"{folder} holds no pictures that are read{found}; expected {listed(IMAGE_ENDINGS)}")
    segmentation = _segmentation(folder, pictures, files)
    if segmentation is not None:
        return segmentation
    _refuse_lossy(folder, pictures)
    classes = _class_folders(folder, pictures)
    if classes is not None:
        return classes
    shown = ", ".join(below(path, folder) for path in pictures[:3])
    raise DataError(
        f"{folder} holds {counted(len(pictures), 'picture')} ({shown}, ...), but no masks with names that say so, "
        "and no folder for each class. Put masks into a folder `masks` under the images' names, or write a recipe "
        "with data.images and data.masks (docs/how-to/own-images.md)"
    )


# ---- masks -----------------------------------------------------------------------------------------------------


def _segmentation(root: Path, pictures: Sequence[Path], files: Sequence[Path]) -> Layout | None:
    names = [PurePosixPath(below(path, root)) for path in pictures]
    votes = Counter(vote for votes in (pairs(names), one_file_an_object(names)) for vote in votes)
    best: tuple[int, Layout] | None = None
    for (images, masks), _ in votes.most_common(5):
        layout = _read(root, images, masks, pictures, files)
        if layout is not None and (best is None or len(layout.images) > best[0]):
            best = len(layout.images), layout
    return None if best is None else best[1]


def _read(root: Path, images: str, masks: str, pictures: Sequence[Path], files: Sequence[Path]) -> Layout | None:
    """What these patterns find; None: too little of what there is."""
    mask_pattern = Pattern(masks, "data.masks", LOSSLESS_ENDINGS)
    problems = Problems()
    found_masks = find(mask_pattern, root, problems)
    found_images = find(Pattern(images, "data.images", IMAGE_ENDINGS), root, problems, [mask_pattern])
    paired = sorted(found_images.keys() & found_masks.keys())
    if not paired or problems or len(paired) < MOST_FOUND * len(found_masks):
        return None
    settings = {"images": images, "masks": masks}
    bare = [found_images[id][0].path for id in sorted(found_images.keys() - found_masks.keys())]
    if bare:
        settings["without_mask"] = "unlabelled"
    used = {file.path for found in (found_images, found_masks) for each in found.values() for file in each}
    rest = [path for path in pictures if path not in used]
    further, others = _unlabelled(root, rest)
    if further:
        settings["unlabelled"] = further
        bare += [path for path in rest if path not in others]
    lists, subsets = _lists(root, files, {id: found_images[id] for id in paired})
    return Layout(
        "segmentation",
        settings | lists,
        tuple(found_images[id][0].path for id in paired),
        tuple(tuple(file.path for file in found_masks[id]) for id in paired),
        tuple(bare),
        subsets=subsets,
        left_out=tuple(below(path, root) for path in others),
    )


def _refuse_lossy(root: Path, pictures: Sequence[Path]) -> None:
    """Raise DataError if most pictures would pair as images and masks, were the masks not in a lossy format."""
    names = [PurePosixPath(below(path, root)).with_suffix(".png") for path in pictures]
    (pattern, count), *_ = Counter(pairs(names)).most_common(1) or [(("", ""), 0)]
    if 2 * count > MOST_FOUND * len(pictures):
        raise DataError(f"{root} seems to hold {LOSSY}: {count} of {pattern[1]}")


# ---- what lies beside them -------------------------------------------------------------------------------------


def _unlabelled(root: Path, rest: Sequence[Path]) -> tuple[str, list[Path]]:
    """A folder whose name says that its images have no masks, and the pictures that lie elsewhere."""
    folders = Counter(below(path.parent, root) for path in rest if path.parent != root)
    named = [folder for folder, _ in folders.most_common() if _BARE_FOLDER.fullmatch(PurePosixPath(folder).name)]
    if not named:
        return "", list(rest)
    return named[0], [path for path in rest if not path.is_relative_to(root / named[0])]


def _lists(
    root: Path, files: Sequence[Path], known: Mapping[str, Sequence[Found]]
) -> tuple[dict[str, str], dict[str, int]]:
    """Lists of train, validation and test images: files, or the folders with which ids begin."""
    settings, counts = dict[str, str](), dict[str, int]()
    depth = max(id.count("/") + 1 for id in known)
    for path in files:
        word = _PART.search(path.stem)
        if path.suffix.lower() not in _LISTS or word is None:
            continue
        try:
            lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError):
            continue
        ids = {id for line in lines if (id := id_of(line, depth, known)) in known}
        subset = SUBSETS.get(word[2].lower(), word[2].lower())
        if lines and len(ids) == len(lines) and f"{subset}_list" not in settings:
            settings[f"{subset}_list"], counts[subset] = below(path, root), len(ids)
    if not settings:
        for first, count in Counter(id.partition("/")[0] for id in known if "/" in id).items():
            subset = SUBSETS.get(first.lower(), first.lower())
            if subset in ("train", "val", "test"):
                settings[f"{subset}_list"], counts[subset] = f"{first}/*", count
    if "train_list" in settings and "test_list" not in settings:
        if "val_list" not in settings:
            return {}, {}  # what is not in the list of train images is all that is left to test on
        settings["reported"] = "val"  # the only images that are not trained on
    return settings, counts


# ---- a folder a class ------------------------------------------------------------------------------------------


def _class_folders(root: Path, pictures: Sequence[Path]) -> Layout | None:
    places = [path.relative_to(root).parts for path in pictures]
    if {parts[0] for parts in places} & {"train"} and all(len(parts) > 2 for parts in places):
        subsets = Counter(parts[0] for parts in places)
        classes = sorted({parts[1] for parts in places})
        if len(classes) < 2 or ("test" not in subsets and "val" not in subsets):
            return None
        settings = {} if "test" in subsets else {"reported": "val"}
        return Layout("classification", settings, tuple(pictures), (), classes=tuple(classes), subsets=subsets)
    classes = sorted({parts[0] for parts in places if len(parts) > 1})
    if len(classes) < 2 or any(len(parts) < 2 for parts in places):
        return None
    return Layout("classification", {}, tuple(pictures), (), classes=tuple(classes))
