"""Networks, and how they are trained."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from dmt_ray.config.settings import Fraction, NonNegative, Positive, Settings, neutral

Side = Literal["A", "B"]
SIDES: tuple[Side, Side] = ("A", "B")
LabelRule = Literal["class_balanced", "global", "renormalised"]
SelectionRule = Literal["last", "val", "paper"]
Strong = Literal["none", "photometric", "jitter", "any", "dmt"]


def _square(value: Any) -> Any:
    """Read 96 as (96, 96)."""
    return (value, value) if isinstance(value, int) and not isinstance(value, bool) else value


Factor = Annotated[float, Field(gt=0)]
Crop = Annotated[tuple[Positive, Positive], BeforeValidator(_square)]


class Model(Settings):
    """A network by name: what segmentation-models-pytorch builds, or one of ours (`models.OURS`)."""

    # Only what sees whole images depends on their padding: `plan.Slice.stage`.
    not_identity = frozenset({"weights_file", "padding"})

    architecture: str = Field(
        "Unet",
        description="Name of a network that segmentation-models-pytorch builds, or of one of ours "
        "(docs/reference/networks.md).",
    )
    encoder: str = Field("resnet18", description="Name of its encoder; none: the network has none to choose.")
    arguments: dict[str, Any] = Field(default_factory=dict, description="Additional arguments of the architecture.")
    encoder_weights: str | None = Field(
        None,
        description="Name of the encoder's initial weights: imagenet-lite0 to -lite2 come with pip's extra "
        "`pretrained`; others, such as imagenet, are downloaded if this machine does not have them; none: random.",
    )
    weights_file: str | None = Field(None, description="A .safetensors file to start from, identified by its digest.")
    weights_digest: str = Field(
        "", description="Digest of weights_file or of the extra's weights; filled in when they are opened."
    )
    frozen: bool = neutral(
        False,
        description="Whether the encoder keeps its initial weights and its BatchNorm statistics in all trainings.",
    )
    frozen_statistics: bool = neutral(
        False,
        description="Whether the encoder's BatchNorm keeps its initial statistics, and normalises by them in training.",
    )
    channels: int = neutral(3, ge=1, description="Channels of its images: `data.channels`, filled in from there.")
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

    scale: tuple[Factor, Factor] = Field(
        (0.5, 1.5),
        description="Smallest and largest factor by which an image is randomly resized before it is cropped.",
    )
    crop: Crop = Field(description="Height and width of the crops in pixels; a single number means a square.")
    flip: bool = Field(True, description="Whether images are mirrored left to right with probability 1/2.")
    pad: int = neutral(0, ge=0, description="Pixels of padding on each side of an image before it is cropped.")
    fill: int = neutral(0, ge=0, le=255, description="Value of the pixels outside the image that a crop includes.")
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
        if scale[0] > scale[1]:
            raise ValueError(f"scale must be an increasing pair of positive numbers, but got {scale}")
        return scale


class Training(Settings):
    """One run of an optimizer and its schedule, which start afresh in every stage (the authors' code)."""

    epochs: Positive = Field(
        description="Passes over the pseudo-labelled images or, in pretraining, over the labelled ones."
    )
    learning_rate: float = Field(gt=0, description="Initial learning rate; the schedule lowers it from there.")
    optimizer: Literal["sgd", "adamw"] = neutral(
        "sgd", description="sgd: with momentum, of the papers; adamw: AdamW, whose first moment decays by `momentum`."
    )
    encoder_rate: float = neutral(
        1.0, gt=0, description="Factor of the learning rate for the encoder: below 1 to preserve good initial weights."
    )
    head_rate: float = neutral(
        1.0, gt=0, description="Factor of the learning rate for all but the encoder: the decoder and the last layer."
    )
    batch: tuple[Positive, Annotated[int, Field(ge=0)]] = Field(
        description="Labelled and pseudo-labelled images per step."
    )
    augment: Augment = Field(description="Random scale, crop and flip.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of SGD; for AdamW, the decay of the first moment.")
    weight_decay: float = Field(5e-4, ge=0, description="L2 penalty of SGD, or AdamW's decay, on all weights.")
    clip_norm: float = neutral(
        0.0,
        ge=0,
        description="Largest norm of a network's gradients in a step; longer ones are clipped to it; 0: no limit.",
    )
    poly_power: float = Field(
        0.9, ge=0, description="Exponent p of the poly schedule: the rate times (1 - step / steps) ** p; 0: constant."
    )
    schedule: Literal["poly", "cosine", "constant"] = neutral(
        "poly",
        description="Of the learning rate after the warm-up: poly, a cosine that falls to 0 (DMT, Sec. 5.2.2), or "
        "constant.",
    )
    warmup: Annotated[int | float, Field(ge=0)] = neutral(
        0,
        description="Steps in which the learning rate rises evenly to its value, before the schedule begins: a number, "
        "or a fraction of the training below 1; 0: none.",
    )
    ema: float = neutral(
        0.0,
        ge=0,
        lt=1,
        description="Decay of a moving average of the weights, which is scored instead (DMT, Sec. 5.2.3); 0: none.",
    )
    matched: bool = neutral(
        False,
        description="Divide the batch so that a pass over the unlabelled images is also one over the labelled "
        "(Pet study, Sec. 3); only the sum of `batch` counts then.",
    )
    precision: Literal["float32", "bfloat16", "float16", "float64"] = Field(
        "float32",
        description="Precision of the network; the loss is always computed in float32. bfloat16: by autocast; float16: "
        "likewise, with a scaled loss, on a GPU; float64: to see what rounding does.",
    )
    keep: SelectionRule = Field(
        "last",
        description="Snapshot to continue from: the last; the best on the validation images (val); or the best on the "
        "test images (paper: the papers' protocol, which is biased upwards).",
    )
    score_every: Positive | None = Field(None, description="Steps between two scores, where keep is not last.")

    @field_validator("warmup")
    @classmethod
    def _steps_or_fraction(cls, warmup: float) -> float:
        if isinstance(warmup, float) and warmup >= 1:
            raise ValueError(f"warmup must be a whole number of steps or a fraction below 1, but got {warmup}")
        return warmup

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.keep == "last") != (self.score_every is None):
            raise ValueError(
                f"score_every is needed with keep 'val' or 'paper' and not used with 'last', "
                f"but got keep={self.keep!r} and score_every={self.score_every}"
            )
        return self


class Consistency(Settings):
    """Settings of methods whose student learns on one view of an image what a teacher predicts on another.

    What is not set is as the method's paper has it: see `dmt_ray/methods/`.
    """

    weight: NonNegative | None = Field(
        None, description="Weight of the loss on unlabelled images relative to the supervised loss."
    )
    threshold: Fraction | None = Field(None, description="Minimum confidence of the teacher for its label to count.")
    ema_decay: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None, description="Decay of the moving average that is the mean teacher."
    )
    noise: Literal["none", "model", "cutmix", "input", "both"] | None = Field(
        None,
        description="cutmix: CutMix; input: that and photometric augmentation; model: dropout and stochastic depth; "
        "both: model and input. A dropout or survival that is set counts whatever the noise.",
    )
    dropout: Fraction | None = Field(None, description="Fraction of the features dropped before the last layer.")
    survival: Fraction | None = Field(None, description="Probability that stochastic depth keeps a residual block.")
    prototype_momentum: Fraction | None = Field(None, description="Momentum of the class prototypes (RML, Eq. 11).")
    stages: Annotated[int, Field(ge=1, le=5)] | None = Field(
        None, description="How many times a stage is started over."
    )
