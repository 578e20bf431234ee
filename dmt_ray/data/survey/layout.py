"""Which files of a folder are images, masks and lists, told by the names that people give them.

Files become candidates for a mask by a word in their name or in that of a folder; the patterns under which most of them
find an image are taken. What comes out are settings of the data set `folder` or `class_folders`, which read the same.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from dmt_ray.config import Task
from dmt_ray.data.check import Problems
from dmt_ray.data.files import IMAGE_ENDINGS, LOSSLESS_ENDINGS, SUBSETS, UNREAD_ENDINGS, below, id_of, listed
from dmt_ray.data.pairing import FOLDER, ID, Found, Pattern, files_below, find
from dmt_ray.errors import DataError

_MASK_FOLDER = re.compile(
    r"mask|label|annot|trimap|target|ground.?truth|segm|(^|[_\W])(gts?|seg)([_\W]|$)", re.IGNORECASE
)
_MASK_WORDS = "masks?|labels?|gt|seg|segmentation|annotations?|annot|trimap|target|ground_?truth|l"
_IMAGE_WORDS = "images?|img|im|rgb|photo|sat"
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


class _Name(NamedTuple):
    """A file's name apart from its ending, and how it is made: "cat_mask" is the core "cat" in "{id}_mask"."""

    core: str
    template: str


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
        found = f", but {', '.join(f'{count} of {name}' for name, count in unread.items())}" if unread else ""
        raise DataError(f"{folder} holds no pictures that are read{found}; expected {listed(IMAGE_ENDINGS)}")
    segmentation = _segmentation(folder, pictures, files)
    if segmentation is not None:
        return segmentation
    classes = _class_folders(folder, pictures)
    if classes is not None:
        return classes
    shown = ", ".join(below(path, folder) for path in pictures[:3])
    raise DataError(
        f"{folder} holds {len(pictures)} pictures ({shown}, ...), but no masks with names that say so, and no folder "
        "for each class. Put masks into a folder `masks` under the images' names, or write a recipe with data.images "
        "and data.masks (docs/how-to/own-images.md)"
    )


# ---- masks -----------------------------------------------------------------------------------------------------


def _segmentation(root: Path, pictures: Sequence[Path], files: Sequence[Path]) -> Layout | None:
    names = [PurePosixPath(below(path, root)) for path in pictures]
    votes = Counter(vote for votes in (_pairs(names), _one_file_an_object(names)) for vote in votes)
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


def _names_of(stem: str, words: str) -> Iterator[_Name]:
    """A name itself, and without a word before or behind it."""
    yield _Name(stem, ID)
    if behind := re.fullmatch(rf"(?P<core>.+?)(?P<word>[_\-. ](?:{words}))", stem, re.IGNORECASE):
        yield _Name(behind["core"], f"{ID}{behind['word']}")
    if before := re.fullmatch(rf"(?P<word>(?:{words})[_\-. ])(?P<core>.+)", stem, re.IGNORECASE):
        yield _Name(before["core"], f"{before['word']}{ID}")


def _pairs(names: Sequence[PurePosixPath]) -> Iterator[tuple[str, str]]:
    """Patterns of images and masks, once for each mask that they give an image."""
    whole = dict[tuple[tuple[str, ...], str], list[str]]()  # folders and core -> templates
    holes = dict[tuple[tuple[str, ...], tuple[str, ...], str], list[tuple[str, str]]]()
    for name in names:
        folders = name.parent.parts
        for core, template in _names_of(name.stem, _IMAGE_WORDS):
            whole.setdefault((folders, core), []).append(template)
            for place, folder in enumerate(folders):
                key = (folders[:place], folders[place + 1 :], core)
                holes.setdefault(key, []).append((folder, template))
    pairs = list[tuple[tuple[str, ...], str | None, str | None, tuple[str, ...], str, str]]()
    for name in names:
        if name.suffix.lower() not in LOSSLESS_ENDINGS:
            continue
        folders = name.parent.parts
        for core, template in _names_of(name.stem, _MASK_WORDS):
            if template != ID:
                pairs += [(folders, None, None, (), other, template) for other in whole.get((folders, core), ())]
            for place, folder in enumerate(folders):
                if not _MASK_FOLDER.search(folder):
                    continue
                before, after = folders[:place], folders[place + 1 :]
                pairs += [
                    (before, image, folder, after, other, template)
                    for image, other in holes.get((before, after, core), ())
                    if image != folder and not _MASK_FOLDER.search(image)
                ]
                pairs += [
                    (before, None, folder, after, other, template) for other in whole.get((before + after, core), ())
                ]
    of_kind = dict[tuple[str | None, str | None, str, str], list[tuple[tuple[str, ...], tuple[str, ...]]]]()
    for before, image, mask, after, one, other in pairs:
        of_kind.setdefault((image, mask, one, other), []).append((before, after))
    for (image, mask, one, other), places in of_kind.items():
        befores, afters = {before for before, _ in places}, {after for _, after in places}
        if afters != {()} and not (one == other == ID or (one.startswith(ID) and other.startswith(ID))):
            continue  # "{id}" can stand for folders only before its own end
        base = _common(befores)
        if mask is None:  # "{id}" stands for the folders, too
            fits = (_join(base, one), _join(base, other)) if one.startswith(ID) and other.startswith(ID) else None
        elif len(befores) == 1:
            fits = _join(base, image, one), _join(base, mask, other)
        else:
            fits = _join(base, FOLDER, image, one), _join(base, FOLDER, mask, other)
        if fits is not None:
            yield from (fits for _ in places)
    yield from _continued(of_kind)
    yield from _alike(names)


def _alike(names: Sequence[PurePosixPath]) -> Iterator[tuple[str, str]]:
    """Patterns of folders for each image, in which all images have one name, and all masks another one."""
    stems = dict[tuple[str, ...], list[str]]()
    for name in names:
        if name.parent.parts:
            stems.setdefault(name.parent.parts, []).append(name.stem)
    for held in stems.values():
        images = [stem for stem in held if re.fullmatch(_IMAGE_WORDS, stem, re.IGNORECASE)]
        masks = [stem for stem in held if re.fullmatch(_MASK_WORDS, stem, re.IGNORECASE)]
        if len(images) == len(masks) == 1:
            base = _common([other[:-1] for other, beside in stems.items() if masks[0] in beside])
            yield _join(base, ID, images[0]), _join(base, ID, masks[0])


def _continued(
    of_kind: Mapping[tuple[str | None, str | None, str, str], Sequence[tuple[tuple[str, ...], tuple[str, ...]]]],
) -> Iterator[tuple[str, str]]:
    """Patterns of folders such as train and train_masks, test and test_masks."""
    endings = dict[tuple[str, str, str], list[tuple[str, ...]]]()
    for (image, mask, one, other), places in of_kind.items():
        if image and mask and mask.startswith(image) and mask != image and {after for _, after in places} == {()}:
            endings.setdefault((mask[len(image) :], one, other), []).extend(before for before, _ in places)
    for (ending, one, other), befores in endings.items():
        base = _common(befores)
        yield from ((_join(base, FOLDER, one), _join(base, f"{FOLDER}{ending}", other)) for _ in befores)


def _one_file_an_object(names: Sequence[PurePosixPath]) -> Iterator[tuple[str, str]]:
    """Patterns of folders for each image, in which one folder holds the image and another one a file an object."""
    held = dict[tuple[str, ...], dict[str, int]]()
    for name in names:
        if len(folders := name.parent.parts) > 1:
            counts = held.setdefault(folders[:-1], {})
            counts[folders[-1]] = counts.get(folders[-1], 0) + 1
    kinds = Counter[tuple[str, str]]()
    for counts in held.values():
        images = [name for name, count in counts.items() if count == 1 and not _MASK_FOLDER.search(name)]
        masks = [name for name in counts if _MASK_FOLDER.search(name)]
        if len(images) == len(masks) == 1:
            kinds[images[0], masks[0]] += 1
    for (image, mask), count in kinds.items():
        base = _common([parents[:-1] for parents, counts in held.items() if image in counts and mask in counts])
        if count > 1:
            yield from ((_join(base, ID, image, "*"), _join(base, ID, mask, "*")) for _ in range(count))


def _common(places: "Sequence[tuple[str, ...]] | set[tuple[str, ...]]") -> str:
    """The folders with which all of some places begin."""
    shared = []
    for names in zip(*places, strict=False):
        if len(set(names)) > 1:
            break
        shared.append(names[0])
    return "/".join(shared)


def _join(*parts: str | None) -> str:
    """A pattern; a folder of whose files all are meant is named alone."""
    text = "/".join(part for part in parts if part)
    folder = text.removesuffix(f"/{ID}")
    return folder if text != folder and "{" not in folder and "*" not in folder else text


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
