"""Evaluate: score a model on the validation images and on the test images."""

from collections.abc import Mapping
from typing import Literal

from dmt_ray.config import Config, Side, neutral
from dmt_ray.plan import ImageCounts, Operation, Slice, Stage
from dmt_ray.plan.files import METRICS

EVALUATE = Operation("evaluate", revision=1)


class Evaluate(Slice):
    """What evaluation reads: the validation images, and the test images."""

    follows = "model"
    writes = (METRICS,)

    member: Literal["", "A", "B"] = neutral("")  # of a stage that trained several models together
    averaged: bool = neutral(False)  # the moving average of the weights, in place of the last

    def __str__(self) -> str:
        model = ", ".join([self.member] * bool(self.member) + ["averaged weights"] * self.averaged)
        images = f"on {self.split.selection} (selects) and {self.data.reported} (reported)"
        return f"{model}, {images}" if model else images

    def work(self, images: ImageCounts) -> int:
        """Images to score."""
        return images.evaluated

    def side_of(self, inputs: Mapping[str, Stage]) -> Side:
        """The side of the model that is scored."""
        return self.member or super().side_of(inputs)


def evaluate(cfg: Config, *, model: Stage, member: Literal["", "A", "B"] = "") -> Stage:
    """Score a model on the validation images and on the test images.

    Where a moving average of its weights was kept, it is what is scored.

    Args:
        cfg: Settings of the method.
        model: The stage that trained it.
        member: Which of the models of a `cotrain` stage.
    """
    config = Evaluate(
        data=cfg.data, split=cfg.split.for_seed(model.seed), member=member, averaged=model.config.keeps_average()
    )
    return Stage(EVALUATE, config, model.seed, {"model": model})
