"""Cotrain: train students by teachers that change with them, step by step (RML)."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from dmt_ray.config import Config, Model, Side, neutral
from dmt_ray.errors import ConfigError
from dmt_ray.plan import Evictable, ImageCounts, Operation, Stage, TrainingSlice
from dmt_ray.plan.files import weights_of

Teacher = Literal["student", "mean"]  # the student of the moment, or the moving average of its weights
TaughtBy = Literal["own", "peer", "both"]
Loss = Literal["cross_entropy", "squared"]
Features = Literal["whole", "stream", "complementary"]


class Cotrain(TrainingSlice):
    """What training of students by teachers that change with them reads; architectures come with the models."""

    operation = Operation("cotrain", revision=1)
    joint = True
    evictable = Evictable(weights=weights_of("A", "B"))
    without_work = frozenset({"weight", "threshold", "ema_decay", "dropout", "survival", "prototype_momentum"})
    step_cost = frozenset({"students", "teacher", "taught_by", "rectified", "views", "features"})

    students: Literal[1, 2]
    teacher: Teacher
    taught_by: TaughtBy
    loss: Loss
    weight: float
    threshold: float
    rectified: bool
    photometric: bool
    cutmix: bool
    ema_decay: float
    dropout: float
    survival: float
    prototype_momentum: float
    averaged: bool = neutral(False)  # a moving average of each student's weights beside it, which is what is scored
    # What UniMatch adds. Views: how many of each image a student learns on, each with colours and boxes of its own.
    views: Literal[1, 2] = neutral(1)
    strong: Literal["photometric", "jitter"] = neutral("photometric")  # see `Augment.strong`
    boxes: Literal["half", "small"] = neutral("half")  # of CutMix: `losses.consistency.cutmix_boxes`, or `small_boxes`
    # Of the encoder: whole; of the plain images too, but with dropped channels, a stream of its own; or of two views
    # each without the channels that the other keeps.
    features: Features = neutral("whole")
    rising_decay: bool = neutral(False)  # of the mean teacher: 1 - 1 / (step + 1), until it is `ema_decay`

    def identity(self) -> dict[str, Any]:
        """Without what is not read."""
        read = {"ema_decay": self.teacher == "mean", "prototype_momentum": self.rectified}
        return {name: value for name, value in super().identity().items() if read.get(name, True)}

    def padded(self, stage: Stage) -> Sequence[Model]:
        """With prototypes, whose first ones come from whole images, both."""
        return stage.networks() if self.rectified else super().padded(stage)

    def __str__(self) -> str:
        teachers = {"own": "its own", "peer": "the other's", "both": "both"}[self.taught_by]
        kind = {"student": "labels", "mean": "mean teacher"}[self.teacher]
        plural = "s" if self.taught_by == "both" and self.teacher == "mean" else ""
        noise = {
            "photometric": self.photometric,
            "CutMix": self.cutmix,
            f"dropout {self.dropout:g}": self.dropout > 0,
            f"survival {self.survival:g}": self.survival < 1,
            "rectified": self.rectified,
            f"{self.views} views": self.views > 1,
            "feature perturbation": self.features == "stream",
            "complementary dropout": self.features == "complementary",
        }
        used = [name for name, there in noise.items() if there]
        return ", ".join([f"{self.students} taught by {teachers} {kind}{plural}", *used])

    def work(self, images: ImageCounts) -> int:
        """Optimizer steps of all students."""
        return self.students * super().work(images)

    def batch_sizes(self, images: ImageCounts) -> set[int]:
        """Those of the students; where these label as they are, the unlabelled images also come by themselves."""
        usual, labelled = super().batch_sizes(images), self.training.batch[0]
        times = self.views + (self.features == "stream")
        sizes = {labelled + times * (size - labelled) for size in usual}
        return sizes | {size - labelled for size in usual} if self.teacher == "student" else sizes

    def perturbs_features(self) -> bool:
        """Whether channels of the encoder's features are dropped."""
        return self.features != "whole"

    def keeps_average(self) -> bool:
        """Whether moving averages of the students' weights are kept: their mean teachers, or those of the settings."""
        return self.teacher == "mean" or self.averaged


def cotrain(
    cfg: Config,
    *,
    start: Mapping[Side, Stage],
    seed: int,
    teacher: Teacher,
    taught_by: TaughtBy,
    loss: Loss = "cross_entropy",
    rectified: bool = False,
    photometric: bool = True,
    strong: Literal["photometric", "jitter"] = "photometric",
    boxes: Literal["half", "small"] = "half",
    views: Literal[1, 2] = 1,
    features: Features = "whole",
    rising_decay: bool = False,
    **usual: Any,
) -> Stage:
    """Train one or two students further by teachers that change with them, step by step (RML, Eq. 2-5).

    Args:
        cfg: Settings of the method; what `cfg.consistency` sets goes before what is usual.
        start: The students by name: pretrained models, or "A" and "B" of another such stage.
        seed: Seed of the order of the images, their augmentation and the noise.
        teacher: What labels: the student as it is, or its mean teacher, the moving average of its weights.
        taught_by: Whose labels a student learns: its own teacher's, the other's, or both.
        loss: Cross-entropy with the teacher's class, or squared difference to its probabilities.
        rectified: Whether labels are rectified by prototypes (RML, Eq. 6-11).
        photometric: Whether input noise is photometric augmentation beside CutMix, or CutMix alone.
        strong: The kind of the photometric augmentation.
        boxes: The kind of CutMix: half of every image, or less of every second one.
        views: How many views of an image a student learns on at a time.
        features: Whether channels of the encoder's features are dropped, and how.
        rising_decay: Whether the decay of a mean teacher rises from 0 to its value.
        usual: The method's own values of the fields of `config.Consistency`.

    Raises:
        ConfigError: If the data are not for segmentation.
    """
    if cfg.data.task != "segmentation":
        raise ConfigError(f"methods that train on two views of an image are for segmentation; {cfg.data.name} is not")
    chosen = cfg.consistency.model_dump(exclude_none=True)
    values = {"weight": 1.0, "threshold": 0.0, "noise": "both", "ema_decay": 0.99, "dropout": 0.5, "survival": 0.8}
    values |= {"prototype_momentum": 0.99, **usual}
    noise = chosen.pop("noise", values.pop("noise"))
    if noise not in ("model", "both"):  # what is set by itself counts all the same
        values |= {"dropout": 0.0, "survival": 1.0}
    values |= chosen
    values.pop("stages", None)  # a matter of the plan
    photometric, cutmix = photometric and noise in ("input", "both"), noise in ("cutmix", "input", "both")
    values |= {"teacher": teacher, "taught_by": taught_by, "loss": loss, "rectified": rectified}
    training = cfg.cotrain or cfg.online
    values |= {"strong": strong, "boxes": boxes, "views": views, "features": features, "rising_decay": rising_decay}
    values |= {"photometric": photometric, "cutmix": cutmix, "training": training}
    values["averaged"] = teacher == "student" and training.ema > 0  # a mean teacher is such an average itself
    return Cotrain.stage(cfg, seed, {side: start[side] for side in start}, students=len(start), **values)
