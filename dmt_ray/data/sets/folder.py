"""Any folder of images and masks that pair by their names (docs/how-to/own-images.md)."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from dmt_ray import IGNORE
from dmt_ray.config import PositiveFraction
from dmt_ray.config.settings import neutral
from dmt_ray.data.check import Problems
from dmt_ray.data.files import (
    IMAGE_ENDINGS,
    LOSSLESS_ENDINGS,
    LOSSY_ENDINGS,
    Item,
    below,
    drawn,
    inside,
    listed,
    read_list,
)
from dmt_ray.data.groups import check_apart, drawn_groups, groups_of
from dmt_ray.data.mask_values import OTHER, MaskValues
from dmt_ray.data.pairing import CLASS, Found, Pattern, find
from dmt_ray.data.pictures import LOSSY
from dmt_ray.data.source import DataSource, Listing
from dmt_ray.errors import ConfigError

TEST_SEED = 8_000_888  # of the draw of the test images, the same for all splits
LEFT_OUT = "images without a mask that are left out, since others of their group are validation or test images"
_OTHERS = "; what other values and colours mean is set by data.mask_values, such as {0: background, 255: nucleus}"


class FolderData(DataSource):
    """Any folder of images and masks that pair by their names: images/cat.jpg and masks/cat.png.

    Folders in these are read, too. Masks are PNG, TIFF or BMP files that hold class numbers, or the values and colours
    of `mask_values`. Lists hold one name a line; without them the train and test images are drawn by `test_share`.
    """

    where: ClassVar[str] = "it is a folder of your own"

    name: Literal["folder"] = "folder"
    classes: tuple[str, ...] = Field(min_length=2, description="Names of the classes 0, 1, ... in the masks.")
    mask_values: dict[str, str] | None = neutral(
        None,
        description="What the values in the masks mean, each -> a class or ignore, such as "
        "{0: background, 255: nucleus}. A value is a number, numbers such as 1..65535, a colour such as 128 64 128, or "
        "other for all that are not named; none: class numbers, as `ignore` and `first` say.",
    )
    ignore: int = Field(255, ge=0, le=255, description="Mask value that is not a class.")
    first: int = neutral(
        0, ge=0, le=255, description="Mask value of the first class; 1 where classes are 1..K, with ignore 0 for void."
    )
    images: str = Field(
        "images",
        description="Folder of the images, below the data set's folder; or a pattern of their paths, such as {id}.jpg, "
        "where {id} stands for what pairs an image with its mask, {folder} for what goes before it, and * for any part "
        "of a name.",
    )
    masks: str = Field(
        "masks",
        description="Folder of the masks, or a pattern such as {id}_mask.png; with * all files of an image are joined; "
        "{class} stands for the class that a file shows, such as {id}_{class}.png.",
    )
    without_mask: Literal["refused", "unlabelled"] = neutral(
        "refused", description="What images are that have no mask: an error, or unlabelled training images."
    )
    unlabelled: str | None = Field(
        None, description="Folder of further images that have no masks, or a pattern of their paths."
    )
    corrected: tuple[str, ...] = neutral(
        (),
        description="Folders, below the data set's folder, of masks for images in `unlabelled` that were labelled "
        "later: a PNG of class numbers 0, 1, ... and 255 for each, under the image's id, as `dmt suggest` writes them. "
        "An image's own mask goes before these.",
    )
    train_list: str | None = Field(
        None,
        description="File that lists the train images, below the data set's folder; or a pattern of their ids, such as "
        "train/*.",
    )
    val_list: str | None = Field(None, description="File that lists the validation images.")
    test_list: str | None = Field(None, description="File that lists the test images.")
    test_share: PositiveFraction = Field(
        0.2, description="Fraction of the images drawn as the test set, if there is no test_list."
    )
    groups: str | None = neutral(
        None,
        description="Which images belong together, as those of a patient do, so that they are all train, all "
        "validation or all test images: a pattern of their names such as {group}_*, or a column of a CSV file such as "
        "patients.csv:patient.",
    )
    reported: Literal["val", "test"] = "test"

    def __hash__(self) -> int:
        """Of all settings; a mapping among them has no hash of its own."""
        return hash(json.dumps(self.model_dump(mode="json"), sort_keys=True))

    @field_validator("mask_values", mode="before")
    @classmethod
    def _as_text(cls, values: Any) -> Any:
        """Numbers as text, which YAML and Python may give as numbers."""
        return {str(value): name for value, name in values.items()} if isinstance(values, Mapping) else values

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.classes)) != len(self.classes) or len(self.classes) > 255:
            raise ValueError(f"classes must be at most 255 different names, but got {self.classes}")
        if self.mask_values is not None:
            MaskValues.coded(self.mask_values, self.classes)
            if (self.ignore, self.first) != (255, 0):
                raise ValueError("mask_values says what all values mean; leave out ignore and first")
            if CLASS in self.masks:
                raise ValueError(f"mask_values and {CLASS} in masks both say what masks hold; leave one of them out")
        last = self.first + len(self.classes) - 1
        if last > 255:
            raise ValueError(f"masks hold values up to 255, but with first {self.first} the last class would be {last}")
        if self.first <= self.ignore <= last:
            hint = "; where masks hold 0 for void and classes from 1 on, set first to 1" if self.ignore == 0 else ""
            raise ValueError(
                f"ignore must not be one of the class numbers {self.first}..{last}, but got {self.ignore}{hint}"
            )
        return self

    @model_validator(mode="after")
    def _check_corrected(self) -> Self:
        if self.corrected and self.unlabelled is None:
            raise ValueError("corrected masks are for the images in `unlabelled`; set data.unlabelled, too")
        return self

    def never_held_out(self, id: str) -> bool:
        """Images of `unlabelled`: the validation set must not change when some of them get masks."""
        folder = "" if self.unlabelled is None else Pattern(self.unlabelled, "data.unlabelled", IMAGE_ENDINGS).folder
        return bool(folder) and id.startswith(f"{folder}/")

    @property
    def values(self) -> MaskValues:
        """What the values in the masks mean."""
        if self.mask_values is not None:
            return MaskValues.coded(self.mask_values, self.classes)
        numbers = MaskValues.numbers(len(self.classes), self.ignore, self.first)
        return replace(numbers, expected=numbers.expected + _OTHERS)

    def is_root(self, folder: Path) -> bool:
        """Whether a folder holds the folder of the images."""
        pattern = Pattern(self.images, "data.images", IMAGE_ENDINGS)
        return bool(pattern.folder) and (folder / pattern.folder).exists()

    def content(self, root: Path, problems: Problems) -> Listing:
        """The images and masks of the lists, or of a drawn test set, and after the train images those without masks.

        Raises:
            ConfigError: If the lists that are given leave open which images are the test set, or a pattern cannot be
                understood.
        """
        lists = {"train": self.train_list, "val": self.val_list, "test": self.test_list}
        if lists[self.reported] is None and (self.reported == "val" or self.train_list is not None):
            raise ConfigError(
                f"data.reported is {self.reported!r}: set data.{self.reported}_list to the file that lists these images"
            )
        images = Pattern(self.images, "data.images", IMAGE_ENDINGS)
        masks = Pattern(self.masks, "data.masks", LOSSLESS_ENDINGS, classes=self.classes)
        further = None if self.unlabelled is None else Pattern(self.unlabelled, "data.unlabelled", IMAGE_ENDINGS)
        others = [masks] if further is None or further.text == images.text else [masks, further]
        found, with_mask = find(images, root, problems, others), find(masks, root, problems)
        lossy = self._lossy(found, with_mask, root)
        for path in lossy:
            problems.add(LOSSY, below(path, root))
        items, bare = ({}, []) if lossy else self._paired(found, with_mask, root, problems)
        depth = max((id.count("/") + 1 for id in items), default=1)
        ids = {
            subset: sorted(_listed(name, f"data.{subset}_list", items, depth, root, problems))
            for subset, name in lists.items()
            if name is not None
        }
        for subset, named in ids.items():
            for id in named if items else ():
                if id not in items:
                    problems.add("listed ids that have no image with a mask", f"{id} ({lists[subset]})")
        unlabelled = bare + ([] if further is None else _unlabelled(further, masks, self.values, root, problems))
        groups = self._groups(items, unlabelled, root, problems)
        if "train" not in ids:
            rest = sorted(items.keys() - {id for each in ids.values() for id in each})
            if self.reported not in ids:
                if groups and rest and not problems:
                    ids["test"] = drawn_groups(rest, groups, self.test_share, TEST_SEED)
                else:
                    ids["test"] = drawn(rest, self.test_share, TEST_SEED)
                rest = sorted({*rest} - {*ids["test"]})
            ids["train"] = rest
        check_apart({subset: ids[subset] for subset in lists if subset in ids}, groups, problems)
        away = {groups[id] for subset in ids if subset != "train" for id in ids[subset] if id in groups}
        for item in unlabelled:
            if groups.get(item.id) in away:
                problems.remark(LEFT_OUT, item.id)
        subsets = {subset: [items[id] for id in ids[subset] if id in items] for subset in lists if subset in ids}
        further_ones = [item for item in unlabelled if groups.get(item.id) not in away]
        subsets["train"] = self._with_corrected([*subsets["train"], *further_ones], root, problems)
        return Listing(self.classes, subsets, colours=self._colours(), groups=groups).check(problems)

    def _with_corrected(self, train: list[Item], root: Path, problems: Problems) -> list[Item]:
        """The train images; those without a mask have the one that they were given later, if any."""
        masks: dict[str, Path] = {}
        for name in self.corrected:
            folder = inside(root, name, "data.corrected")
            files = sorted(path for path in folder.rglob("*.png") if path.is_file())
            if not files:
                problems.add("folders of corrected masks without PNG files", below(folder, root))
            masks |= {path.relative_to(folder).with_suffix("").as_posix(): path for path in files}
        for id in sorted(masks.keys() - {item.id for item in train}):
            problems.add("corrected masks without an image; expected the id of a train image", below(masks[id], root))
        numbers = MaskValues.numbers(len(self.classes), IGNORE)
        late = {item.id for item in train if item.mask is None and item.id in masks}
        return [replace(item, mask=masks[item.id], values=numbers) if item.id in late else item for item in train]

    def _colours(self) -> NDArray[np.uint8] | None:
        """The colours of the classes in the masks, the first of each; None: masks are not in colour."""
        if self.values.kind != "colours":
            return None
        first = {name: text for text, name in reversed((self.mask_values or {}).items()) if text != OTHER}
        if not first.keys() >= set(self.classes):
            return None
        return np.array([[int(part) for part in first[name].split()] for name in self.classes], np.uint8)

    def _lossy(
        self, images: Mapping[str, Sequence[Found]], masks: Mapping[str, Sequence[Found]], root: Path
    ) -> list[Path]:
        """Files that would be the masks of images that have none, were they not in a lossy format."""
        pattern = Pattern(self.masks, "data.masks", LOSSY_ENDINGS, classes=self.classes)
        found = find(pattern, root, Problems())
        return [
            file.path
            for id in sorted(found.keys() & images.keys() - masks.keys())
            for file in found[id]
            if file.path != images[id][0].path
        ]

    def _paired(
        self,
        images: Mapping[str, Sequence[Found]],
        masks: Mapping[str, Sequence[Found]],
        root: Path,
        problems: Problems,
    ) -> tuple[dict[str, Item], list[Item]]:
        """The images that have masks, and where `without_mask` allows them those that have none."""
        for found, setting, endings in ((images, "images", IMAGE_ENDINGS), (masks, "masks", LOSSLESS_ENDINGS)):
            place = root / (text := str(getattr(self, setting)))
            if not found and place.is_dir():
                problems.add(f"folders without files that end in {listed(endings)}", below(place, root))
            elif not found and not place.exists() and "{" in text:
                problems.add(f"patterns that no file fits, in {root}", f"data.{setting} {text!r}")
        if not images or not masks:
            return {}, []
        bare = []
        for id in sorted(images.keys() - masks.keys()):
            if self.without_mask == "unlabelled":
                bare.append(Item(id, images[id][0].path, None, self.values))
                continue
            kind = (
                f"images without a mask; expected {_expected(self.masks)}, data.without_mask set to unlabelled, "
                "or images without masks in a folder of their own, named by data.unlabelled"
            )
            problems.add(kind, below(images[id][0].path, root))
        for id in sorted(masks.keys() - images.keys()):
            problems.add(f"masks without an image; expected {_expected(self.images)}", below(masks[id][0].path, root))
        items = {}
        for id in images.keys() & masks.keys():
            first, *further = ((file.path, self._values_of(file)) for file in masks[id])
            items[id] = Item(id, images[id][0].path, *first, further=tuple(further))
        return items, bare

    def _values_of(self, file: Found) -> MaskValues:
        return self.values if file.kind is None else MaskValues.object_of(self.classes.index(file.kind))

    def _groups(
        self, items: Mapping[str, Item], unlabelled: Sequence[Item], root: Path, problems: Problems
    ) -> dict[str, str]:
        """The group of each image that has one; those with masks must."""
        if self.groups is None or not items:
            return {}
        groups = groups_of(self.groups, items.keys(), root, problems)
        # Those in a folder of their own have the folder before the name that says their group.
        names = {item.id: item.id.removeprefix(f"{self.unlabelled}/") for item in unlabelled}
        more = groups_of(self.groups, set(names.values()), root, Problems()) if names else {}
        return groups | {id: more[name] for id, name in names.items() if name in more}


def _unlabelled(pattern: Pattern, masks: Pattern, values: MaskValues, root: Path, problems: Problems) -> list[Item]:
    """Images that have no masks; their ids are their paths, since several folders may number their images from 1."""
    files = [file.path for found in find(pattern, root, problems, [masks]).values() for file in found]
    if not files and (root / pattern.folder).is_dir():
        problems.add("folders without images", pattern.folder or pattern.text)
    return [Item(below(path.with_suffix(""), root), path, None, values) for path in sorted(files)]


def _listed(
    name: str, setting: str, known: Mapping[str, Item], depth: int, root: Path, problems: Problems
) -> list[str]:
    """The ids of a list, or those that fit a pattern."""
    if "*" not in name:
        return read_list(inside(root, name, setting), root, problems, known, depth)
    fitting = re.compile(".*".join(map(re.escape, name.split("*"))))
    ids = [id for id in known if fitting.fullmatch(id)]
    if not ids and known:
        problems.add("patterns that no image fits", f"{setting} {name!r}")
    return ids


def _expected(text: str) -> str:
    return f"a file {text}" if "{" in text else f"a file of the same name in {text}/"
