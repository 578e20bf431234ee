"""All settings of an experiment, and overrides of them."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from dmt_ray.config.data import Data, Split
from dmt_ray.config.derived import instead
from dmt_ray.config.external import External
from dmt_ray.config.settings import PositiveFraction, Settings, neutral, no_group, unknown
from dmt_ray.config.training import Consistency, LabelRule, Model, Side, Training
from dmt_ray.config.weights import DisagreementWeight, Weight, WeightSettings
from dmt_ray.errors import ConfigError


class Config(Settings):
    """All settings that a method can read. A recipe is a named instance."""

    recipe: str = Field("", description="Name of the recipe, or of the file, that these settings come from.")
    data: Data = Field(description="The data set.")
    split: Split = Field(description="Which of its images are labelled, and which are the validation set.")
    model: Model = Field(description="The network of model A, and of model B where `model_b` is not set.")
    model_b: Model | None = Field(None, description="Model B where it differs from model A.")
    pretrain: Training = Field(description="Training on the labelled images alone, with which methods start.")
    finetune: Training = Field(description="Training in one iteration, on labelled and pseudo-labelled images.")
    online: Training = Field(
        description="Training of the methods that make their own labels at every step: Online ST, Pseudo-Label."
    )
    cotrain: Training | None = neutral(
        None,
        description="Training of students by teachers that change with them, of RML, Mean Teacher, FixMatch, UniMatch "
        "and CPS; none: as `online`.",
    )
    retrain: Training | None = neutral(
        None,
        description="Training from the start on labelled and pseudo-labelled images, of RWMS, Curriculum Labeling "
        "and DMT for classification; none: as `online`.",
    )
    oracle: Training = Field(description="Training of the oracle, on all train images with their true labels.")
    coarse: int = neutral(
        0,
        ge=0,
        description="Side in pixels of the blocks in which the oracle is given the true labels of images outside the "
        "labelled list, as of hurried annotators; 0: as they are.",
    )
    label: LabelRule = Field(
        "class_balanced",
        description="How the most confident fraction is chosen. class_balanced: of each class; global: of all pixels "
        "alike; renormalised: CBST's own selection, which divides probabilities by the thresholds of their classes and "
        "so can change the class (DMT, Sec. 4.2.2).",
    )
    weight: Weight = Field(DisagreementWeight(), description="How much a pseudo label counts.")
    percentiles: tuple[PositiveFraction, ...] = Field(
        (0.2, 0.4, 0.6, 0.8, 1.0),
        min_length=1,
        description="Most confident fraction of the pixels to label, one value per iteration, never falling.",
    )
    dms_alpha: float = Field(
        1.0, gt=0.5, le=1, description="Fraction of the labelled images that each of A and B sees."
    )
    order: Literal["simultaneous", "sequential"] = Field(
        "simultaneous",
        description="simultaneous: each learns from the other as it was before the iteration (DMT); sequential: the "
        "second learns from the first as it is after it (Pet study).",
    )
    first: Literal["A", "B", "val", "val_each"] = Field(
        "A",
        description="Which model teaches first in the sequential order: A or B; val: the one that is better on the "
        "validation images after pretraining; val_each: decided so again before every iteration (Pet study, Sec. 4.2).",
    )
    consistency: Consistency = neutral(
        Consistency(),
        description="For methods whose student learns on one view what a teacher predicts on another.",
    )
    external: External = neutral(
        External(),
        description="Masks from elsewhere that teach in place of the first teacher of DMT and of self-training.",
    )
    scored: tuple[str, ...] = neutral(
        (),
        description="Names of the classes over whose IoU the mIoU is the mean; none: over all that occur in the truth "
        "or in the prediction. For sets in which some classes hardly occur.",
    )
    ensemble: bool = neutral(
        False,
        description="Also score A and B together, by the mean of their class probabilities, after the last iteration.",
    )
    scored_in_tiles: float | None = neutral(
        None,
        ge=0,
        lt=1,
        description="Overlap of the tiles in which models are scored, as `dmt predict` uses them, such as 0.25; tiles "
        "are as large as the training's crops; none: whole images, as a training always scores on the way.",
    )
    reliable: PositiveFraction = neutral(
        0.5, description="Fraction of the unlabelled images in the first phase of RWMS."
    )
    phases: Literal["selective", "random", "one"] = neutral(
        "selective",
        description="For RWMS: the most reliable images first, as many at random, or all at once (RWMS, Table 3).",
    )

    @field_validator("scored")
    @classmethod
    def _distinct(cls, scored: tuple[str, ...]) -> tuple[str, ...]:
        if twice := sorted({name for name in scored if scored.count(name) > 1}):
            raise ValueError(f"scored must name each class once, but {', '.join(twice)} stands in it more than once")
        return scored

    @field_validator("percentiles")
    @classmethod
    def _rising(cls, percentiles: tuple[float, ...]) -> tuple[float, ...]:
        if any(a > b for a, b in pairwise(percentiles)):
            raise ValueError(f"percentiles must not decrease, but got {percentiles}")
        return percentiles

    @model_validator(mode="after")
    def _batches(self) -> Self:
        for name, training in self.trainings().items():
            supervised = name in ("pretrain", "oracle")
            if not supervised and training.batch[1] == 0:
                raise ValueError(f"{name}.batch needs pseudo-labelled images, but got {training.batch}")
            if supervised and training.batch[1] != 0:
                raise ValueError(f"{name}.batch is (labelled, 0), but got {training.batch}")
        return self

    @model_validator(mode="after")
    def _of_the_task(self) -> Self:
        if self.data.task == "segmentation":
            for name, training in self.trainings().items():
                if training.augment.mixup or training.augment.strong in ("any", "dmt"):
                    raise ValueError(
                        f"{name}.augment: mixup and strong 'any' and 'dmt' move pixels without their masks and are for "
                        f"classification, but {self.data.name} is for segmentation"
                    )
        return self

    def trainings(self) -> dict[str, Training]:
        """All trainings by name."""
        return {name: training for name in TRAININGS if (training := getattr(self, name)) is not None}

    def model_of(self, side: Side) -> Model:
        """The model on side A or B."""
        return self.model_b if side == "B" and self.model_b is not None else self.model

    def with_weight(self, **changes: Any) -> "Config":
        """The same settings with another weight `rule`, keeping the values that both rules read, or with other values.

        Raises:
            ConfigError: If there is no such rule, or it does not read one of the numbers.
        """
        return override(self, {f"weight.{name}": value for name, value in changes.items()})


TRAININGS = ("pretrain", "finetune", "online", "cotrain", "retrain", "oracle")

FOR_ALL = {"crop": "augment.crop", "scale": "augment.scale", "precision": "precision"}
"""What can be set once for all trainings -> the setting of each. An override of one training goes before it."""

# Mappings that are set as a whole.
OPAQUE = frozenset({"arguments", "data", "mask_values", "model_b"})
# What is not set starts from something else when a part of it is set.
_ALIKE = {"model_b": "model", "cotrain": "online", "retrain": "online"}


def override(config: Config, changes: Mapping[str, Any]) -> Config:
    """A validated copy with overrides, dotted or nested: {"finetune.epochs": 3, "weight": {"gamma1": 4}}.

    Another `weight.rule` keeps the numbers that both rules read. The names in `FOR_ALL` are short for that setting of
    every training, but of those for which it is set itself: {"crop": 96, "oracle.augment.crop": 128}.

    Raises:
        ConfigError: If a key does not exist (the message names the nearest right one), is there twice, or a value does
            not fit.
    """
    flat: dict[str, Any] = {}
    for dotted, value in _flatten(changes):
        if advice := instead(dotted):
            raise ConfigError(advice)
        if dotted in flat:
            raise ConfigError(f"{dotted!r} is set twice, dotted and nested; leave one of them out")
        flat[dotted] = value
    flat = _of_all_trainings(config, flat) | {name: value for name, value in flat.items() if name not in FOR_ALL}
    values = config.model_dump()
    if "weight.rule" in flat:
        values["weight"] = config.weight.with_rule(str(flat.pop("weight.rule"))).model_dump()
    for dotted, value in flat.items():
        _set(values, dotted, value)
    return type(config)(**values)


def from_stored(values: Mapping[str, Any]) -> Config:
    """A config that was written to a file as JSON, without the numbers that its weight rule does not read.

    Files of earlier versions hold a value for every number of every weight rule.
    """
    stored = values["weight"]
    reads = WeightSettings.kind(stored["rule"]).model_fields
    return Config(**{**values, "weight": {name: value for name, value in stored.items() if name in reads}})


def _of_all_trainings(config: Config, flat: Mapping[str, Any]) -> dict[str, Any]:
    """Expand the shorthands of `FOR_ALL`. Trainings that are not set take the value from the one they fall back to."""
    of_each: dict[str, Any] = {}
    for name in FOR_ALL.keys() & flat.keys():
        of_one = config.pretrain.model_dump()
        _set(of_one, FOR_ALL[name], flat[name])
        try:
            Training(**of_one)
        except ConfigError as error:  # said once, and not of every training
            raise ConfigError(str(error).replace(FOR_ALL[name], name, 1)) from None
        of_each |= {f"{training}.{FOR_ALL[name]}": flat[name] for training in config.trainings()}
    return of_each


def _flatten(changes: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in changes.items():
        dotted = f"{prefix}{name}"
        if isinstance(value, Mapping) and dotted.split(".")[-1] not in OPAQUE:
            yield from _flatten(value, f"{dotted}.")
        else:
            yield dotted, value


def _set(values: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    place = values
    for depth, name in enumerate(parents):
        if name in _ALIKE and place.get(name) is None:
            place[name] = dict(values[_ALIKE[name]])
        if not isinstance(place.get(name), dict):
            group = ".".join(parents[: depth + 1])
            if name in place:
                raise ConfigError(f"there is no setting {dotted!r}: {group} is a single setting and holds no others")
            groups = [known for known, inner in place.items() if isinstance(inner, dict) or known in _ALIKE]
            raise ConfigError(no_group(dotted, group, groups, _full_names(values)))
        place = place[name]
    if last not in place and parents[-1:] != ["arguments"]:
        short = () if parents else FOR_ALL
        if parents == ["weight"] and any(last in kind.model_fields for kind in WeightSettings.__subclasses__()):
            reads = ", ".join(name for name in place if name != "rule") or "no numbers"
            raise ConfigError(f"there is no setting {dotted!r}: the weight rule {place['rule']!r} reads {reads}")
        raise ConfigError(unknown(dotted, [*place, *short], _full_names(values)))
    if dotted == "data" and isinstance(value, Mapping):
        same = value.get("name", place["data"]["name"]) == place["data"]["name"]
        value = {**place["data"], **value} if same else value
    place[last] = dict(value) if isinstance(value, Mapping) else value


def _full_names(values: Mapping[str, Any], before: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, Mapping) and name not in OPAQUE:
            yield from _full_names(value, f"{before}{name}.")
        elif before:
            yield f"{before}{name}"
