"""All that is known of a trained model beside its weights."""

from typing import Any, Literal

from pydantic import Field

from dmt_ray.config import (
    Model,
    Normalisation,
    Normalised,
    SelectionRule,
    Settings,
    Side,
    Statistics,
    Task,
    normalisation_of,
)

Colour = tuple[int, int, int]


class RuleScore(Settings):
    """What the runs of one method on the same settings score under a selection rule; fractions."""

    rule: SelectionRule
    n: int  # runs with different seeds
    validation: float  # mean over the runs
    test: float
    test_sd: float | None = None  # sample standard deviation; None: of a single run


class OwnScore(Settings):
    """What this model scores; fractions."""

    measure: Literal["miou", "accuracy"]
    validation: float
    test: float
    validation_images: int | None = None
    test_images: int | None = None


class DataUsed(Settings):
    """What a model was trained on."""

    name: str
    fingerprint: str = ""  # digest of all its images and masks
    split: str = ""  # name of the division into labelled and unlabelled images
    split_digest: str = ""  # of the ids of the labelled images
    settings: dict[str, Any] = Field(default_factory=dict)  # of the data set: how its pictures and masks are read


class ModelInfo(Settings):
    """A trained network: how to build it, how to use it, and where it comes from.

    Attributes:
        name: For people.
        model: The network; `models.build` makes it.
        task: What the network is for.
        classes: Names of the K classes, in the order of the logits.
        palette: RGB colours of the classes.
        size: Working (height, width) of the training; None: images were used at their own size.
        normalised: Whose mean and standard deviation the channels are normalised by.
        statistics: These, where they are those of the data.
        crop: Height and width of the crops of the training.
        key: Which file of which stage holds the weights.
        data: What it was trained on.
        scores: Of all runs with these settings, under the three selection rules.
        score: Of this network.
        code: Commit, and versions of packages.
        first_weights: Name, origin, licence and digest of the weights that it started from.
    """

    name: str
    model: Model
    task: Task = "segmentation"
    classes: tuple[str, ...]
    palette: tuple[Colour, ...]
    size: tuple[int, int] | None = None
    normalised: Normalised = "imagenet"
    statistics: Statistics | None = None
    crop: tuple[int, int] | None = None
    key: str
    side: Side = "A"
    data: DataUsed
    method: str = ""
    recipe: str = ""
    seed: int | None = None
    command: str = ""
    scores: tuple[RuleScore, ...] = ()
    score: OwnScore | None = None
    code: dict[str, str] = Field(default_factory=dict)
    first_weights: dict[str, str] | None = None

    @property
    def normalisation(self) -> Normalisation:
        """What the channels are normalised by."""
        return normalisation_of(self.normalised, self.statistics)

    @property
    def channels(self) -> int:
        """Of the images that the network takes."""
        return self.model.channels

    @property
    def network(self) -> str:
        """Architecture and encoder, such as "FPN/resnet18"."""
        model = self.model
        return model.architecture if model.encoder == "none" else f"{model.architecture}/{model.encoder}"
