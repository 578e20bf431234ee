"""Networks, and how they are trained."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from dmt_ray.config.settings import Fraction, NonNegative, Positive, Settings, neutral

Side = Literal["A", "B"]
SIDES: tuple[Side, Side] = ("A", "B")
LabelRule = Literal["class_balanced", "global", "renormalised"]
SelectionRule = Literal["last", "val", "paper"]
Strong = Literal["none", "photometric", "jitter", "any", "dmt"]


class Model(Settings):
    """A network by name: what segmentation-models-pytorch builds, or one of ours (`models.OURS`)."""

    # Only what sees whole images depends on their padding: `plan.Slice.stage`.
    not_identity = frozenset({"weights_file", "padding"})

    architecture: str = "Unet"
    encoder: str = "resnet18"
    arguments: dict[str, Any] = Field(default_factory=dict, description="Further arguments of the architecture.")
    encoder_weights: str | None = Field(None, description="Name of weights to download, e.g. imagenet; none: nothing.")
    weights_file: str | None = Field(None, description="A .safetensors file to start from; its digest is the identity.")
    weights_digest: str = Field("", description="Digest of weights_file; filled in when the file is opened.")
    padding: tuple[Positive, Annotated[int, Field(ge=0)]] | None = Field(
        None,
        description="Whole images are padded to sides of a multiple of the first number plus the second; none: of 32. "
        "Filled in when the network is built.",
    )

    def takes(self, size: tuple[int, int]) -> bool:
        """Whether the network takes images of this size as they are, without padding."""
        multiple, rest = self.padding or (1, 0)
        return all(side % multiple == rest for side in size)


class Augment(Settings):
    """Random scale, crop and horizontal flip (DMT, Table 1), and what some methods add."""

    scale: tuple[float, float] = (0.5, 1.5)
    crop: tuple[Positive, Positive]
    flip: bool = True
    pad: int = neutral(0, ge=0, description="Pixels of padding on each side of an image before it is cropped.")
    fill: int = neutral(0, ge=0, le=255, description="Value of the pixels around an image that a crop takes in.")
    strong: Strong = neutral(
        "none",
        description="Further augmentation. photometric: one operation of RandAugment on colours alone (RML, Sec. 4.1), "
        "and jitter: colour jitter, grey, blur (RWMS), both on the images without labels; any: one operation of "
        "RandAugment or Cutout on all images, which moves pixels and so is for classification; dmt: that with the "
        "operations and amounts of DMT's authors (DMT, Sec. 5.2.2).",
    )
    mixup: float = neutral(
        0.0, ge=0, description="alpha of mixup's Beta distribution (DMT, Sec. 5.2.2; classification); 0: none."
    )

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
    schedule: Literal["poly", "cosine"] = neutral(
        "poly", description="Of the learning rate: poly, or a cosine that falls to 0 (DMT, Sec. 5.2.2)."
    )
    ema: float = neutral(
        0.0,
        ge=0,
        lt=1,
        description="Decay of a moving average of the weights that is what is scored (DMT, Sec. 5.2.3); 0: none.",
    )
    matched: bool = neutral(
        False,
        description="Share out the batch so that a pass over the unlabelled images is also one over the labelled "
        "(000, Sec. 3); `batch` then gives its sum alone.",
    )
    precision: Literal["float32", "bfloat16", "float64"] = Field(
        "float32",
        description="Of the network; the loss is always taken in float32. bfloat16 by autocast; float64 to see what "
        "rounding does.",
    )
    keep: SelectionRule = Field(
        "last",
        description="Snapshot that goes on: the last; the best on the validation images (val); or the best on the "
        "test images (paper: the papers' protocol, which is optimistic).",
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


class Consistency(Settings):
    """What methods read that teach a student on one view of an image what a teacher sees on another.

    What is not set is as the method's paper has it: see `dmt_ray/methods/`.
    """

    weight: NonNegative | None = Field(None, description="Of the loss on unlabelled images beside the supervised one.")
    threshold: Fraction | None = Field(None, description="Least confidence of a teacher whose label counts.")
    ema_decay: Annotated[float, Field(ge=0, lt=1)] | None = Field(None, description="Of the mean teacher's weights.")
    noise: Literal["none", "model", "cutmix", "input", "both"] | None = Field(
        None,
        description="cutmix: CutMix; input: that and photometric augmentation; model: dropout and stochastic depth; "
        "both: model and input. A dropout or survival that is set counts whatever the noise.",
    )
    dropout: Fraction | None = Field(None, description="Share of the features that are dropped before the last layer.")
    survival: Fraction | None = Field(None, description="Chance of a residual block to be kept, in stochastic depth.")
    prototype_momentum: Fraction | None = Field(None, description="Of the classes' prototypes (RML, Eq. 11).")
    stages: Annotated[int, Field(ge=1, le=5)] | None = Field(None, description="Times that a stage is begun anew.")
