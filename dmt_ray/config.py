"""Frozen, validated settings: one class per thing that can be set, unknown keys are errors.

A setting belongs here only if it changes the result. Device, number of workers, paths and the like are not
settings of an experiment; they belong to the runner (`runner.Machine`).
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from dmt_ray.errors import ConfigError

Side = Literal["A", "B"]
SIDES: tuple[Side, Side] = ("A", "B")
WeightRule = Literal["disagreement", "confidence", "flip", "uniform", "online", "rising"]
LabelRule = Literal["class_balanced", "global", "renormalised"]
Keep = Literal["last", "val", "paper"]
Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, le=1)]


def neutral(default: Any, **further: Any) -> Any:
    """A field that older keys do not know: it enters a key only where it differs from its default."""
    return Field(default, json_schema_extra={"neutral": True}, **further)


class Settings(BaseModel):
    """Base of all settings: frozen, no unknown keys, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)
    not_identity: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError("; ".join(_sentence(detail, type(self)) for detail in error.errors())) from None

    def identity(self) -> dict[str, Any]:
        """What a key sees of these settings: plain JSON values, without fields that do not change a result."""
        values: dict[str, Any] = {}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            extra = field.json_schema_extra
            is_neutral = isinstance(extra, dict) and bool(extra.get("neutral")) and value == field.default
            if name not in self.not_identity and not is_neutral:
                values[name] = value.identity() if isinstance(value, Settings) else value
        return values

    def evolve(self, **changes: Any) -> Self:
        """A validated copy with some fields changed."""
        return type(self)(**{**{name: getattr(self, name) for name in type(self).model_fields}, **changes})


def _ratio(value: Any) -> Any:
    """Accept "1/20" beside 0.05 wherever a share is wanted."""
    match = re.fullmatch(r"\s*1\s*/\s*(\d+(?:\.\d+)?)\s*", value) if isinstance(value, str) else None
    return 1 / float(match[1]) if match and float(match[1]) > 0 else value


Labelled = Annotated[int | float, BeforeValidator(_ratio)]


# ---- data ------------------------------------------------------------------------------------------------------


class _Data(Settings):
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
    test_list: str | None = Field(None, description="File that lists the reported images.")
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


Data = Annotated[ShapesData | CamvidData | VocData | CityscapesData | FolderData, Field(discriminator="name")]


class Split(Settings):
    """Which train images are labelled, and which images select models."""

    labelled: Labelled = Field(description='Labelled train images: a share (0.05 or "1/20") or a number of images.')
    rule: Literal["authors", "random", "list"] = Field(
        "random",
        description="authors: the rule of the DMT authors (seed 7777, nested); random: drawn by `number`; "
        "list: the ids in the file `list`.",
    )
    number: int = Field(0, ge=0, description="Which split of its kind.")
    follows_seed: bool = Field(True, description="Whether seed s uses split number s, or all seeds the same split.")
    list: str | None = Field(None, description="File with one labelled id a line, below the data set's folder.")
    list_digest: str = neutral("")  # of the ids in `list`; filled in when the data are opened
    selection: Literal["val", "valtiny"] | Share = Field(
        "val",
        description="Images that select models: the data set's val images, the authors' valtiny list, or a share of "
        "the train images that is held out from training.",
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


# ---- models, training ------------------------------------------------------------------------------------------


class Model(Settings):
    """A network by name: what segmentation-models-pytorch builds, or one of ours (`models.OURS`)."""

    not_identity = frozenset({"weights_file"})

    architecture: str = "Unet"
    encoder: str = "resnet18"
    arguments: dict[str, Any] = Field(default_factory=dict, description="Further arguments of the architecture.")
    encoder_weights: str | None = Field(None, description="Name of weights to download, e.g. imagenet; none: nothing.")
    weights_file: str | None = Field(None, description="A .safetensors file to start from; its digest is the identity.")
    weights_digest: str = Field("", description="Digest of weights_file; filled in when the file is opened.")


class Augment(Settings):
    """Random scale, crop and horizontal flip (DMT, Table 1)."""

    scale: tuple[float, float] = (0.5, 1.5)
    crop: tuple[Positive, Positive]
    flip: bool = True

    @field_validator("scale")
    @classmethod
    def _rising(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if not 0 < scale[0] <= scale[1]:
            raise ValueError(f"scale must be a rising pair of positive numbers, but got {scale}")
        return scale


class Training(Settings):
    """One run of SGD with the poly schedule; momentum and schedule start afresh in every stage (the authors' code)."""

    epochs: Positive = Field(description="Passes over the pseudo-labelled images, or in pretraining over the labelled.")
    learning_rate: float = Field(gt=0)
    batch: tuple[Positive, Annotated[int, Field(ge=0)]] = Field(description="Labelled and pseudo-labelled images.")
    augment: Augment
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    poly_power: float = Field(0.9, ge=0)
    precision: Literal["float32", "bfloat16", "float64"] = Field(
        "float32",
        description="Of the network; the loss is always taken in float32. bfloat16 by autocast; float64 to see what "
        "rounding does.",
    )
    keep: Keep = Field(
        "last",
        description="Snapshot that goes on: the last; the best on the selection images (val); or the best on the "
        "reported images (paper: the papers' protocol, which is optimistic).",
    )
    score_every: Positive | None = Field(None, description="Steps between two scores, where keep is not last.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.keep == "last") != (self.score_every is None):
            raise ValueError(
                f"score_every is needed with keep 'val' or 'paper' and not used with 'last', "
                f"but got keep={self.keep!r} and score_every={self.score_every}"
            )
        return self


class Weight(Settings):
    """How much a pseudo label counts: a rule of `losses.RULES` and its parameters."""

    rule: WeightRule = "disagreement"
    gamma1: float = Field(5.0, ge=0, description="Exponent where student and teacher agree.")
    gamma2: float = Field(5.0, ge=0, description="Exponent where the teacher overrules the student.")
    threshold: float = Field(0.9, ge=0, le=1, description="Least confidence of a label that is made online.")
    # Lee, Eq. 16: T1 = 100, T2 = 600, alpha_f = 3; the epochs as shares of a training of 1,000.
    rise_start: float = Field(0.1, ge=0, le=1, description="Share of the training before which rule 'rising' is 0.")
    rise_end: float = Field(0.6, ge=0, le=1, description="Share of the training from which 'rising' is alpha_f.")
    alpha_f: float = Field(
        3.0, ge=0, description="At most, how much all pseudo labels of a batch count for 1 of all its true labels."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.rise_start > self.rise_end:
            raise ValueError(f"rise_start must not lie behind rise_end, but got {self.rise_start} and {self.rise_end}")
        return self

    @property
    def makes_labels(self) -> bool:
        """Whether the rule makes its labels itself, step by step, and is given none."""
        return self.rule in ("online", "rising")

    def identity(self) -> dict[str, Any]:
        """Only what the rule reads: CBST with another gamma is the same CBST."""
        reads = {
            "disagreement": ("gamma1", "gamma2"),
            "confidence": ("gamma1",),
            "flip": ("gamma1", "gamma2"),
            "uniform": (),
            "online": ("threshold",),
            "rising": ("rise_start", "rise_end", "alpha_f"),
        }[self.rule]
        return {"rule": self.rule} | {name: getattr(self, name) for name in reads}


class Config(Settings):
    """Everything a method reads. A recipe is a named value of it."""

    recipe: str = ""
    data: Data
    split: Split
    model: Model
    model_b: Model | None = Field(None, description="Model B where it differs from model A.")
    pretrain: Training
    finetune: Training
    online: Training = Field(description="Training of Online ST and of Pseudo-Label.")
    oracle: Training = Field(description="Training of the oracle, on all train images with their true labels.")
    coarse: int = neutral(
        0,
        ge=0,
        description="Side in pixels of the blocks in which the oracle is given the true labels of images outside the "
        "labelled list, as of hurried annotators; 0: as they are.",
    )
    label: LabelRule = "class_balanced"
    weight: Weight = Weight()
    percentiles: tuple[float, ...] = Field((0.2, 0.4, 0.6, 0.8, 1.0), min_length=1)
    dms_alpha: float = Field(1.0, gt=0.5, le=1, description="Share of the labelled images that each of A and B sees.")
    order: Literal["simultaneous", "sequential"] = Field(
        "simultaneous", description="DMT: both learn from the old other; 000: the second learns from the new first."
    )
    first: Side = Field("A", description="Which model teaches first, in the sequential order.")

    @field_validator("percentiles")
    @classmethod
    def _rising(cls, percentiles: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 < p <= 1 for p in percentiles) or any(a > b for a, b in pairwise(percentiles)):
            raise ValueError(f"percentiles must not fall and lie above 0 and at most at 1, but got {percentiles}")
        return percentiles

    @model_validator(mode="after")
    def _batches(self) -> Self:
        for name in ("finetune", "online"):
            if getattr(self, name).batch[1] == 0:
                raise ValueError(f"{name}.batch needs pseudo-labelled images, but got {getattr(self, name).batch}")
        for name in ("pretrain", "oracle"):
            if getattr(self, name).batch[1] != 0:
                raise ValueError(f"{name}.batch is (labelled, 0), but got {getattr(self, name).batch}")
        return self

    def model_of(self, side: Side) -> Model:
        """The model on side A or B."""
        return self.model_b if side == "B" and self.model_b is not None else self.model

    def with_weight(self, **changes: Any) -> "Config":
        """The same settings with another rule or other exponents."""
        return self.evolve(weight=self.weight.evolve(**changes))


# ---- overrides, and errors a person can act on -----------------------------------------------------------------


def override(config: Config, changes: Mapping[str, Any]) -> Config:
    """A validated copy in which dotted or nested keys are replaced: {"finetune.epochs": 3, "weight": {"gamma1": 4}}.

    Raises:
        ConfigError: If a key does not exist (the message names the nearest right one) or a value does not fit.
    """
    values = config.model_dump()
    for dotted, value in _flatten(changes):
        _set(values, dotted, value)
    return Config(**values)


def _flatten(changes: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in changes.items():
        dotted = f"{prefix}{name}"
        opaque = dotted.split(".")[-1] in {"arguments", "data", "model_b"}
        if isinstance(value, Mapping) and not opaque:
            yield from _flatten(value, f"{dotted}.")
        else:
            yield dotted, value


def _set(values: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    place = values
    for depth, name in enumerate(parents):
        if name == "model_b" and place.get(name) is None:
            place[name] = dict(values["model"])
        if not isinstance(place.get(name), dict):
            raise ConfigError(_unknown(".".join(parents[: depth + 1]), place))
        place = place[name]
    if last not in place and parents[-1:] != ["arguments"]:
        raise ConfigError(_unknown(dotted, place))
    if dotted == "data" and isinstance(value, Mapping):
        same = value.get("name", place["data"]["name"]) == place["data"]["name"]
        value = {**place["data"], **value} if same else value
    place[last] = dict(value) if isinstance(value, Mapping) else value


def nearest(word: str, known: Iterable[str]) -> str:
    """The nearest known word as the end of a sentence, or all of them when none is near."""
    choices = sorted(known)
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(choices)}"


def _unknown(dotted: str, known: Iterable[str]) -> str:
    return f"there is no setting {dotted!r}; {nearest(dotted.split('.')[-1], known)}"


def _fields_at(model: Any, path: Iterable[int | str]) -> list[str]:
    for part in path:
        field = model.model_fields.get(str(part)) if isinstance(model, type) and issubclass(model, Settings) else None
        model = field.annotation if field else _tagged(model, part)
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, Settings) else []


def _tagged(union: Any, tag: int | str) -> Any:
    for choice in getattr(union, "__args__", ()):
        if isinstance(choice, type) and issubclass(choice, Settings):
            field = choice.model_fields.get("name")
            if field is None or field.default == tag:
                return choice
    return None


def _sentence(detail: ErrorDetails, model: type[Settings]) -> str:
    path = detail["loc"]
    dotted = ".".join(str(part) for part in path)
    if detail["type"] == "extra_forbidden":
        known = _fields_at(model, path[:-1])
        return _unknown(dotted, known) if known else f"there is no setting {dotted!r}"
    if detail["type"] == "missing":
        return f"{dotted!r} must be set in {model.__name__}"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "value_error":
        inner = isinstance(detail.get("ctx", {}).get("error"), ConfigError) and re.match(r"[\w.]+: ", message)
        return f"{dotted}{'.' if inner else ': '}{message}" if dotted else message
    return f"{dotted}: {message[:1].lower()}{message[1:]}, but got {detail['input']!r}"
