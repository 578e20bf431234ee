"""Which data set, and which of its images are labelled."""

import re
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from dmt_ray.config.normalisation import Normalisation, Normalised, Statistics, normalisation_of
from dmt_ray.config.registry import Registry
from dmt_ray.config.settings import Positive, PositiveFraction, Settings, Tagged, neutral

Task = Literal["segmentation", "classification"]


def _ratio(value: Any) -> Any:
    """Read "1/20" as 0.05; any other text, true and false are refused."""
    match = re.fullmatch(r"\s*1\s*/\s*(\d+(?:\.\d+)?)\s*", value) if isinstance(value, str) else None
    if match and float(match[1]) > 0:
        return 1 / float(match[1])
    if isinstance(value, str | bool):
        got = repr(value) if isinstance(value, str) else str(value).lower()
        raise ValueError(f'must be a number of images, a fraction such as 0.05, or "1/20", but got {got}')
    return value


COLOURS = 3  # channels of an RGB image
MOST_CHANNELS = 256  # of an image; hyperspectral cameras have about 200 bands
Labelled = Annotated[int | float, BeforeValidator(_ratio)]


_OWN = {
    "shapes": "dmt_ray.data.sets.shapes:ShapesData",
    "camvid": "dmt_ray.data.sets.camvid:CamvidData",
    "voc": "dmt_ray.data.sets.voc:VocData",
    "cityscapes": "dmt_ray.data.sets.cityscapes:CityscapesData",
    "ade20k": "dmt_ray.data.sets.ade20k:AdeData",
    "folder": "dmt_ray.data.sets.folder:FolderData",
    "pets": "dmt_ray.data.sets.pets:PetsData",
    "digits": "dmt_ray.data.sets.digits:DigitsData",
    "cifar10": "dmt_ray.data.sets.cifar10:CifarData",
    "class_folders": "dmt_ray.data.sets.class_folders:ClassFoldersData",
}


class DataSettings(Tagged):
    """Base class of the data sets' settings; see `data.source.DataSource` for what a data set adds to it."""

    tag: ClassVar[str] = "name"
    task: ClassVar[Task] = "segmentation"
    """In classification an image has one class: its mask has one pixel."""

    name: str = Field(description="Which data set.")
    reported: str = Field("test", description="The test set: the subset whose scores are reported.")
    fingerprint: str = Field("", description="Digest of the data set's content; filled in when the data are opened.")
    size: tuple[Positive, Positive] | None = Field(
        None,
        description="Working (height, width) that images are resized to when they are decoded; none: their own size.",
    )
    range: tuple[float, float] | tuple[tuple[float, float], ...] | None = neutral(
        None,
        description="Numbers that become black and white in images of more than 8 bits, such as [0, 65535], or [0, 1] "
        "for floating point; numbers outside are clipped. A pair for each channel where they differ. Images of 8 bits "
        "do not depend on it; none: only these are read.",
    )
    channels: int = neutral(
        COLOURS,
        ge=1,
        le=MOST_CHANNELS,
        description="Number of channels of the images. 3: images are read as RGB, whatever their kind, and alpha is "
        "dropped. Any other number is that of the channels in the files, as of TIFFs with bands beyond the visible; "
        "with 4, the alpha of RGBA files is a channel like the others.",
    )
    orientation: Literal["applied", "images", "stored"] = neutral(
        "applied",
        description="What is done where a camera recorded that an image is to be turned. applied: it is turned, and "
        "its mask with it, which must have the same orientation tag, or a size that shows how it lies; images: it is "
        "turned, and masks without a tag fit the image as viewers show it; stored: nothing is turned, and masks fit "
        "the pixels as stored.",
    )
    normalised: Normalised = neutral(
        "imagenet",
        description="Whose mean and standard deviation the channels are normalised by: of ImageNet, of CIFAR-10, or of "
        "the data (`statistics`), which images of other than 3 channels need.",
    )
    statistics: Statistics | None = neutral(
        None,
        description="With normalised data: mean and standard deviation of each channel, for images in 0..1; none: over "
        "all training images, with and without masks. Filled in when the data are opened.",
    )

    @model_validator(mode="after")
    def _of_all_channels(self) -> Self:
        limits = () if self.range is None else (self.range,) if isinstance(self.range[0], float) else self.range
        for pair in limits:
            if pair[0] >= pair[1]:
                raise ValueError(f"range must be two numbers, the lower one first, but got {list(pair)}")
        if len(limits) > 1 and len(limits) != self.channels:
            raise ValueError(
                f"range must be a pair of numbers, or one for each of the {self.channels} channels, but got "
                f"{len(limits)} pairs"
            )
        if self.channels != COLOURS and self.normalised != "data":
            raise ValueError(
                f"normalised must be 'data' where channels is {self.channels}: the statistics of {self.normalised} are "
                "those of red, green and blue"
            )
        return self

    @model_validator(mode="after")
    def _own_statistics(self) -> Self:
        if self.statistics is None:
            return self
        if self.normalised != "data":
            raise ValueError(f"statistics are for normalised 'data', but got {self.normalised!r}")
        mean, std = self.statistics
        if len(mean) != self.channels or len(std) != self.channels or not all(value > 0 for value in std):
            raise ValueError(
                f"statistics must be {self.channels} means and as many standard deviations above 0, one a channel, but "
                f"got {list(mean)} and {list(std)}"
            )
        return self

    @property
    def normalisation(self) -> Normalisation:
        """The numbers that `normalised` names.

        Raises:
            ConfigError: If they are the data's own, and the data have not been opened.
        """
        return normalisation_of(self.normalised, self.statistics)

    @classmethod
    def kind(cls, name: str) -> type[Self]:
        """The class of a data set."""
        return DATA_SETS[name]  # type: ignore[return-value]


def _fault(name: str, value: object) -> str:
    if not (isinstance(value, type) and issubclass(value, DataSettings) and callable(getattr(value, "content", None))):
        return "a data set is a subclass of dmt_ray.data.source.DataSource"
    if (own := _name_of(value)) != name:
        return f"its field `name` must read  name: Literal[{name!r}] = {name!r}  , but its default is {own}"
    return ""


DATA_SETS: Registry[type[DataSettings]] = Registry("data set", "dmt_ray.datasets", _OWN, _fault)
"""`data.name` -> the class that holds all that is known of the data set; imported when it is first looked up."""


def class_named(name: str) -> type[DataSettings] | None:
    """The class of one of our data sets by its own name, such as "FolderData"; None: there is none."""
    known = {place.partition(":")[2]: data_set for data_set, place in _OWN.items()}
    return DATA_SETS[known[name]] if name in known else None


SomeData = TypeVar("SomeData", bound=DataSettings)


def dataset(kind: type[SomeData]) -> type[SomeData]:
    """Register a data set, a subclass of `data.source.DataSource`, under the default of its field `name`.

    Raises:
        ConfigError: If the name is taken, or the class is no data set.
    """
    DATA_SETS.register(_name_of(kind), kind)
    return kind


def _name_of(kind: type) -> str:
    fields = getattr(kind, "model_fields", {})
    return str(fields["name"].default) if "name" in fields else kind.__name__


Data = Annotated[SerializeAsAny[DataSettings], BeforeValidator(DataSettings.parse)]


class Split(Settings):
    """Which training images are labelled, and which images are the validation set."""

    reads_text = frozenset({"labelled"})

    labelled: Labelled = Field(
        description='Labelled training images: a fraction (0.05 or "1/20") or a number.',
        json_schema_extra={"range": "above 0 and at most 1 as a fraction, 1 or more as a whole number"},
    )
    rule: Literal["authors", "random", "per_class", "list"] = Field(
        "random",
        description="authors: the rule of the DMT authors (seed 7777, nested); random: drawn by `number`; per_class: "
        "drawn by `number`, equally many of each class (classification); list: the ids in the file `list`.",
    )
    number: int = Field(0, ge=0, description="Number of the split, for rules that draw one.")
    follows_seed: bool = Field(True, description="Whether seed s uses split number s, or all seeds the same split.")
    list: str | None = Field(
        None,
        description="File with one labelled id per line, below the data set's folder; or the name of a published list, "
        "such as unimatch-voc-92 (docs/reference/data.md).",
    )
    list_digest: str = neutral("", description="Digest of the ids in `list`; filled in when the data are opened.")
    selection: Literal["val", "valtiny"] | PositiveFraction = Field(
        "val",
        description="Validation set. val: the data set's own; valtiny: the list of DMT's authors, or in classification "
        "20 training images per class; a fraction: that share of the training images (under per_class, of each class). "
        "Training images in the validation set are not trained on.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if isinstance(self.labelled, float) and not 0 < self.labelled <= 1:
            raise ValueError(f"labelled as a fraction must be above 0 and at most 1, but got {self.labelled}")
        if isinstance(self.labelled, int) and self.labelled < 1:
            raise ValueError(f"labelled as a number of images must be at least 1, but got {self.labelled}")
        if (self.rule == "list") != (self.list is not None):
            raise ValueError(f"rule 'list' and a file in `list` go together, but got {self.rule!r} and {self.list!r}")
        return self

    def validation(self) -> str:
        """The validation images, for people: "val", "10 % of the training images"."""
        if isinstance(self.selection, str):
            return self.selection
        return f"{100 * self.selection:.4g} % of the training images"

    def for_seed(self, seed: int) -> "Split":
        """The split that an experiment with this seed uses."""
        return self.evolve(number=self.number + seed) if self.follows_seed else self
