"""Patterns under which the names of files pair images with masks."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from dmt_ray.data.files import LOSSLESS_ENDINGS
from dmt_ray.data.pairing import FOLDER, ID

_MASK_FOLDER = re.compile(
    r"mask|label|annot|trimap|target|ground.?truth|segm|(^|[_\W])(gts?|seg)([_\W]|$)", re.IGNORECASE
)
_MASK_WORDS = "masks?|labels?|gt|seg|segmentation|annotations?|annot|trimap|target|ground_?truth|l"
_IMAGE_WORDS = "images?|img|im|rgb|photo|sat"


class _Name(NamedTuple):
    """A file's name apart from its ending, and how it is made: "cat_mask" is the core "cat" in "{id}_mask"."""

    core: str
    template: str


def _names_of(stem: str, words: str) -> Iterator[_Name]:
    """A name itself, and without a word before or behind it."""
    yield _Name(stem, ID)
    if behind := re.fullmatch(rf"(?P<core>.+?)(?P<word>[_\-. ](?:{words}))", stem, re.IGNORECASE):
        yield _Name(behind["core"], f"{ID}{behind['word']}")
    if before := re.fullmatch(rf"(?P<word>(?:{words})[_\-. ])(?P<core>.+)", stem, re.IGNORECASE):
        yield _Name(before["core"], f"{before['word']}{ID}")


def pairs(names: Sequence[PurePosixPath]) -> Iterator[tuple[str, str]]:
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
    named = list[tuple[tuple[str, ...], str | None, str | None, tuple[str, ...], str, str]]()
    for name in names:
        if name.suffix.lower() not in LOSSLESS_ENDINGS:
            continue
        folders = name.parent.parts
        for core, template in _names_of(name.stem, _MASK_WORDS):
            if template != ID:
                named += [(folders, None, None, (), other, template) for other in whole.get((folders, core), ())]
            for place, folder in enumerate(folders):
                if not _MASK_FOLDER.search(folder):
                    continue
                before, after = folders[:place], folders[place + 1 :]
                named += [
                    (before, image, folder, after, other, template)
                    for image, other in holes.get((before, after, core), ())
                    if image != folder and not _MASK_FOLDER.search(image)
                ]
                named += [
                    (before, None, folder, after, other, template) for other in whole.get((before + after, core), ())
                ]
    of_kind = dict[tuple[str | None, str | None, str, str], list[tuple[tuple[str, ...], tuple[str, ...]]]]()
    for before, image, mask, after, one, other in named:
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


def one_file_an_object(names: Sequence[PurePosixPath]) -> Iterator[tuple[str, str]]:
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
