"""What each operation reads of the settings: its share of a stage's key, and all that the engine is told."""

from typing import Any, Literal

from dmt_ray.config import Data, LabelRule, Model, Settings, Side, Split, Training, Weight, neutral


class Pretrain(Settings):
    """What pretraining reads."""

    data: Data
    split: Split
    model: Model
    training: Training
    side: Side
    images: Literal["labelled", "dms", "all"]
    dms_alpha: float = 1.0
    coarse: int = neutral(0)

    def __str__(self) -> str:
        images = {"labelled": "the labelled images", "all": "all images, truly labelled"}.get(
            self.images, f"{self.dms_alpha:.0%} of the labelled images"
        )
        if self.coarse:
            images += f" (those outside the labelled list in blocks of {self.coarse} pixels)"
        return f"{self.side}: {self.model.architecture}/{self.model.encoder} on {images}"


class Label(Settings):
    """What labelling reads."""

    data: Data
    split: Split
    rule: LabelRule
    share: float

    def __str__(self) -> str:
        return f"surest {self.share:.0%}, {self.rule}"


class Finetune(Settings):
    """What fine-tuning reads; the architecture comes with the model it starts from."""

    data: Data
    split: Split
    training: Training
    weight: Weight

    def __str__(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.weight.identity().items())


class Retrain(Settings):
    """What retraining reads: a new model, on labelled and pseudo-labelled images from its first step."""

    data: Data
    split: Split
    model: Model
    training: Training
    weight: Weight
    side: Side
    generation: int
    images: float = neutral(1.0)  # share of the unlabelled images that have labels

    def __str__(self) -> str:
        weight = ", ".join(f"{name}={value}" for name, value in self.weight.identity().items())
        return (
            f"{self.side}: {self.model.architecture}/{self.model.encoder} anew, generation {self.generation}, {weight}"
        )


class Cotrain(Settings):
    """What training of students by teachers that change with them reads; architectures come with the models."""

    data: Data
    split: Split
    training: Training
    students: Literal[1, 2]
    teacher: Literal["student", "mean"]  # the student of the moment, or the moving average of its weights
    taught_by: Literal["own", "peer", "both"]
    loss: Literal["cross_entropy", "squared"]
    weight: float
    threshold: float
    rectified: bool
    photometric: bool
    cutmix: bool
    ema_decay: float
    dropout: float
    survival: float
    prototype_momentum: float

    def identity(self) -> dict[str, Any]:
        """Without what is not read."""
        values = super().identity()
        if self.teacher == "student":
            del values["ema_decay"]
        if not self.rectified:
            del values["prototype_momentum"]
        return values

    def __str__(self) -> str:
        teachers = {"own": "its own", "peer": "the other's", "both": "both"}[self.taught_by]
        kind = {"student": "labels", "mean": "mean teacher"}[self.teacher]
        plural = "s" if self.taught_by == "both" and self.teacher == "mean" else ""
        noise = [
            name
            for name, used in (
                ("photometric", self.photometric),
                ("CutMix", self.cutmix),
                (f"dropout {self.dropout:g}", self.dropout > 0),
                (f"survival {self.survival:g}", self.survival < 1),
                ("rectified", self.rectified),
            )
            if used
        ]
        return ", ".join([f"{self.students} taught by {teachers} {kind}{plural}", *noise])


class Assess(Settings):
    """What the assessment of one teacher's labels by another one reads."""

    data: Data
    split: Split

    def __str__(self) -> str:
        return "ranks of the labels, and agreement of each image"


class Compose(Settings):
    """What the composition of the labels of a phase reads."""

    data: Data
    split: Split
    by: Literal["reliability", "chance"]
    first: float  # share of the unlabelled images that are labelled first
    whole: bool  # the others too, with their later labels

    def __str__(self) -> str:
        first = f"the {self.first:.0%} that " + ("are most reliable" if self.by == "reliability" else "are drawn")
        return "all images" if self.first == 1 else f"{first}, and the rest" if self.whole else first


class Pick(Settings):
    """What the choice between two models reads."""

    data: Data
    split: Split
    better: bool

    def __str__(self) -> str:
        return f"the {'better' if self.better else 'other'} of two on {self.split.selection}"


class Evaluate(Settings):
    """What evaluation reads: the validation images, and the images that are reported."""

    data: Data
    split: Split
    member: Literal["", "A", "B"] = neutral("")  # of a stage that trained several models together
    averaged: bool = neutral(False)  # the moving average of the weights, in place of the last

    def __str__(self) -> str:
        who = ", ".join([self.member] * bool(self.member) + ["averaged weights"] * self.averaged)
        images = f"on {self.split.selection} (selects) and {self.data.reported} (reported)"
        return f"{who}, {images}" if who else images
