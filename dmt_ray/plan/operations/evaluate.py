"""Evaluate: score a model on the validation images and on the test images."""

from typing import Literal

from dmt_ray.config import Config, Side, neutral
from dmt_ray.plan import ImageCounts, Operation, Slice, Stage
from dmt_ray.plan.files import METRICS

Member = Literal["", "A", "B"]  # of a stage that trained several models together


class Evaluate(Slice):
    """What evaluation reads: the validation images, and the test images."""

    operation = Operation("evaluate", revision=1)
    follows = "model"
    writes = (METRICS,)

    member: Member = neutral("")
    averaged: bool = neutral(False)  # the moving average of the weights, in place of the last
    scored: tuple[str, ...] = neutral(())  # classes of the mean; none: all that occur

    def __str__(self) -> str:
        model = [self.member] * bool(self.member) + ["averaged weights"] * self.averaged
        classes = [f"mIoU of {len(self.scored)} classes"] * bool(self.scored)
        return ", ".join([*model, f"on {self.split.selection} (validation) and {self.data.reported} (test)", *classes])

    def work(self, images: ImageCounts) -> int:
        """Images to score."""
        return images.evaluated

    def own_side(self) -> Side | None:
        """The side of the model that is scored, where the stage that it follows has several."""
        return self.member or None


def evaluate(cfg: Config, *, model: Stage, member: Member = "") -> Stage:
    """Score a model on the validation images and on the test images.

    Where a moving average of its weights was kept, it is what is scored. Of a `cotrain` stage it is the model `member`.
    """
    averaged = model.config.keeps_average()
    return Evaluate.stage(cfg, model.seed, {"model": model}, member=member, averaged=averaged, scored=cfg.scored)
