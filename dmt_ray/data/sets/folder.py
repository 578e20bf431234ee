"""Any folder of images and masks that pair by file name (docs/how-to/own-images.md)."""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from dmt_ray import IGNORE
from dmt_ray.config import PositiveFraction
from dmt_ray.config.settings import neutral
from dmt_ray.data.check import Problems
from dmt_ray.data.files import IMAGE_ENDINGS, Item, MaskValues, below, drawn, files_in, inside, paired, read_list
from dmt_ray.data.source import DataSource, Listing
from dmt_ray.errors import ConfigError

TEST_SEED = 8_000_888  # of the draw of the test images, the same for all splits


class FolderData(DataSource):
    """Any folder of images and masks that pair by file name: images/cat.jpg and masks/cat.png.

    Masks are single-channel (or palette) PNG files that hold class numbers. Lists hold one file name a
    line; without them the train and test images are drawn by `test_share`.
    """

    where: ClassVar[str] = "it is a folder of your own"

    name: Literal["folder"] = "folder"
    classes: tuple[str, ...] = Field(min_length=2, description="Names of the classes 0, 1, ... in the masks.")
    ignore: int = Field(255, ge=0, le=255, description="Mask value that is not a class.")
    first: int = neutral(
        0, ge=0, le=255, description="Mask value of the first class; 1 where classes are 1..K, with ignore 0 for void."
    )
    images: str = Field("images", description="Folder of the images, below the data set's folder.")
    masks: str = Field("masks", description="Folder of the masks, below the data set's folder.")
    unlabelled: str | None = Field(None, description="Folder of further images that have no masks.")
    corrected: tuple[str, ...] = neutral(
        (),
        description="Folders, below the data set's folder, of masks for images in `unlabelled` that were labelled "
        "later: a PNG of class numbers 0, 1, ... and 255 for each, under the image's id, as `dmt suggest` writes them. "
        "An image's own mask goes before these.",
    )
    train_list: str | None = Field(None, description="File that lists the train images, below the data set's folder.")
    val_list: str | None = Field(None, description="File that lists the validation images.")
    test_list: str | None = Field(None, description="File that lists the test images.")
    test_share: PositiveFraction = Field(
        0.2, description="Fraction of the images drawn as the test set, if there is no test_list."
    )
    reported: Literal["val", "test"] = "test"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.classes)) != len(self.classes) or len(self.classes) > 255:
            raise ValueError(f"classes must be at most 255 different names, but got {self.classes}")
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
        return self.unlabelled is not None and id.startswith(f"{self.unlabelled}/")

    def is_root(self, folder: Path) -> bool:
        """Whether a folder holds the folder of the images."""
        return (folder / self.images).exists()

    def content(self, root: Path, problems: Problems) -> Listing:
        """The images and masks of the lists, or of a drawn test set, and after the train images those without masks.

        Raises:
            ConfigError: If the lists that are given leave open which images are the test set.
        """
        lists = {"train": self.train_list, "val": self.val_list, "test": self.test_list}
        if lists[self.reported] is None and (self.reported == "val" or self.train_list is not None):
            raise ConfigError(
                f"data.reported is {self.reported!r}: set data.{self.reported}_list to the file that lists these images"
            )
        values = MaskValues.numbers(len(self.classes), self.ignore, self.first)
        images, masks = inside(root, self.images, "data.images"), inside(root, self.masks, "data.masks")
        note = ", or images without masks in a folder of their own, named by data.unlabelled"
        items = paired(images, masks, root, values, problems, note)
        ids = {
            subset: sorted(read_list(inside(root, name, f"data.{subset}_list"), root, problems, items))
            for subset, name in lists.items()
            if name is not None
        }
        for subset, listed in ids.items():
            for id in listed if items else ():
                if id not in items:
                    problems.add("listed ids that have no image with a mask", f"{id} ({lists[subset]})")
        if "train" not in ids:
            rest = sorted(items.keys() - {id for each in ids.values() for id in each})
            if self.reported not in ids:
                ids["test"] = drawn(rest, self.test_share, TEST_SEED)
                rest = sorted({*rest} - {*ids["test"]})
            ids["train"] = rest
        subsets = {subset: [items[id] for id in ids[subset] if id in items] for subset in lists if subset in ids}
        if self.unlabelled is not None:
            folder = inside(root, self.unlabelled, "data.unlabelled")
            files = files_in(folder, IMAGE_ENDINGS, root, problems)
            if not files and folder.is_dir():
                problems.add("folders without images", below(folder, root))
            # The folder is part of the id, since both folders may number their images from 1.
            further = [Item(f"{self.unlabelled}/{id}", path, None, values) for id, path in files.items()]
            subsets["train"] = self._with_corrected([*subsets["train"], *further], root, problems)
        return Listing(self.classes, subsets).check(problems)

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
