"""Which data, and which of their images are labelled."""

import re
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from dmt_ray.config.settings import Positive, Settings, Share, neutral

Task = Literal["segmentation", "classification"]


def _ratio(value: Any) -> Any:
    """Accept "1/20" beside 0.05 wherever a share is wanted."""
    match = re.fullmatch(r"\s*1\s*/\s*(\d+(?:\.\d+)?)\s*", value) if isinstance(value, str) else None
    return 1 / float(match[1]) if match and float(match[1]) > 0 else value


Labelled = Annotated[int | float, BeforeValidator(_ratio)]


class _Data(Settings):
    task: ClassVar[Task] = "segmentation"
    """In classification an image has one class: its mask has one pixel."""
    fingerprint: str = Field("", description="Digest of the data set's content; filled in when the data are opened.")
    size: tuple[Positive, Positive] | None = Field(
        None, description="Working (height, width) that images are resized to when they are decoded; none: as they are."
    )


class ShapesData(_Data):
    """The embedded data: generated photographs-with-shapes, 6 classes, 64 x 64."""

    name: Literal["shapes"] = "shapes"
    reported: Literal["val", "test"] = "test"


class CamvidData(_Data):
    """CamVid in the layout of SegNet: train/, trainannot/, ..., 11 classes, 11 = ignore."""

    name: Literal["camvid"] = "camvid"
    reported: Literal["val", "test"] = "test"


class VocData(_Data):
    """PASCAL VOC 2012 with the SBD-augmented masks (SegmentationClassAug), 21 classes, 255 = ignore."""

    name: Literal["voc"] = "voc"
    train_list: str = Field("trainaug", description="Name of the list in ImageSets/Segmentation, without .txt.")
    reported: Literal["val"] = "val"


class CityscapesData(_Data):
    """Cityscapes: leftImg8bit/ and gtFine/ with the 19 train ids."""

    name: Literal["cityscapes"] = "cityscapes"
    reported: Literal["val"] = "val"


class FolderData(_Data):
    """Any folder of images and masks that pair by file name: images/cat.jpg and masks/cat.png.

    Masks are single-channel (or palette) PNG files that hold class numbers. Lists hold one file name (without its
    ending) a line; without them the train and test images are drawn by `test_share`.
    """

    name: Literal["folder"] = "folder"
    classes: tuple[str, ...] = Field(min_length=2, description="Names of the classes 0, 1, ... of the masks.")
    ignore: int = Field(255, ge=0, le=255, description="Mask value that is not a class.")
    images: str = Field("images", description="Folder of the images, below the data set's folder.")
    masks: str = Field("masks", description="Folder of the masks, below the data set's folder.")
    unlabelled: str | None = Field(None, description="Folder of further images that have no masks.")
    train_list: str | None = Field(None, description="File that lists the train images, below the data set's folder.")
    val_list: str | None = Field(None, description="File that lists the validation images.")
    test_list: str | None = Field(None, description="File that lists the test images.")
    test_share: Share = Field(0.2, description="Share of the images that are reported, where there is no test_list.")
    reported: Literal["val", "test"] = "test"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.classes)) != len(self.classes) or len(self.classes) > 255:
            raise ValueError(f"classes must be at most 255 different names, but got {self.classes}")
        if self.ignore < len(self.classes):
            raise ValueError(
                f"ignore must not be one of the class numbers 0..{len(self.classes) - 1}, but got {self.ignore}"
            )
        return self


class DigitsData(_Data):
    """The embedded data for classification: scikit-learn's handwritten digits, 10 classes, 8 x 8."""

    task: ClassVar[Task] = "classification"
    name: Literal["digits"] = "digits"
    reported: Literal["test"] = "test"


class CifarData(_Data):
    """CIFAR-10 as torchvision lays it out: cifar-10-batches-py/, 50,000 train and 10,000 test images of 32 x 32."""

    task: ClassVar[Task] = "classification"
    name: Literal["cifar10"] = "cifar10"
    reported: Literal["test"] = "test"


class ClassFoldersData(_Data):
    """One folder a class: train/cat/1.jpg, test/cat/2.jpg; val/ where there is one. The classes are the folders' names.

    Images of one size need no `size`; others are resized to it.
    """

    task: ClassVar[Task] = "classification"
    name: Literal["class_folders"] = "class_folders"
    reported: Literal["val", "test"] = "test"


class PetsData(_Data):
    """The Oxford-IIIT Pets as torchvision lays them out: images/, annotations/trimaps/, the lists of annotations/.

    The images of both lists are pooled, and `test_share` of them is drawn to be reported (000, Sec. 3).
    """

    name: Literal["pets"] = "pets"
    border: Literal["ignore", "pet", "class"] = Field(
        "pet", description="The trimaps' border (value 3): not counted, part of the pet, or a class of its own."
    )
    test_share: Share = Field(0.2, description="Share of the images that are reported.")
    reported: Literal["test"] = "test"


Data = Annotated[
    ShapesData
    | CamvidData
    | VocData
    | CityscapesData
    | FolderData
    | PetsData
    | DigitsData
    | CifarData
    | ClassFoldersData,
    Field(discriminator="name"),
]


class Split(Settings):
    """Which train images are labelled, and which images select models."""

    labelled: Labelled = Field(description='Labelled train images: a share (0.05 or "1/20") or a number of images.')
    rule: Literal["authors", "random", "per_class", "list"] = Field(
        "random",
        description="authors: the rule of the DMT authors (seed 7777, nested); random: drawn by `number`; per_class: "
        "drawn by `number`, as many of each class (classification); list: the ids in the file `list`.",
    )
    number: int = Field(0, ge=0, description="Which split of its kind.")
    follows_seed: bool = Field(True, description="Whether seed s uses split number s, or all seeds the same split.")
    list: str | None = Field(None, description="File with one labelled id a line, below the data set's folder.")
    list_digest: str = neutral("")  # of the ids in `list`; filled in when the data are opened
    selection: Literal["val", "valtiny"] | Share = Field(
        "val",
        description="Images that select models: the data set's val images; valtiny: the authors' list, or in "
        "classification 20 train images a class that are held out from training; or a share of the train images that "
        "is held out (under per_class, of each class).",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if isinstance(self.labelled, float) and not 0 < self.labelled <= 1:
            raise ValueError(f"labelled as a share must be above 0 and at most 1, but got {self.labelled}")
        if isinstance(self.labelled, int) and self.labelled < 1:
            raise ValueError(f"labelled as a number of images must be at least 1, but got {self.labelled}")
        if (self.rule == "list") != (self.list is not None):
            raise ValueError(f"rule 'list' and a file for it belong together, but got {self.rule=} and {self.list=}")
        return self

    def for_seed(self, seed: int) -> "Split":
        """The split that an experiment with this seed uses."""
        return self.evolve(number=self.number + seed) if self.follows_seed else self
