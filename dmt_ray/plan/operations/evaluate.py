"""Evaluate: score a model on the validation images and on the test images."""

from typing import Any, Literal

from dmt_ray.config import Config, Side, neutral
from dmt_ray.plan import ImageCounts, Operation, Slice, Stage
from dmt_ray.plan.files import METRICS
from dmt_ray.plan.words import counted

Member = Literal["", "A", "B"]  # of a stage that trained several models together


class Evaluate(Slice):
    """What evaluation reads: the validation images, and the test images."""

    operation = Operation("evaluate", revision=1)
    follows = "model"
    writes = (METRICS,)
    step_cost = frozenset({"tiles"})

    member: Member = neutral("")
    averaged: bool = neutral(False)  # the moving average of the weights, in place of the last
    scored: tuple[str, ...] = neutral(())  # classes of the mean; none: all that occur
    tiles: tuple[int, int, float] | None = neutral(None)  # height, width, overlap; None: whole images

    def __str__(self) -> str:
        model = [self.member] * bool(self.member) + ["averaged weights"] * self.averaged
        classes = [f"mIoU of {counted(len(self.scored), 'class', 'classes')}"] * bool(self.scored)
        tiles = [] if self.tiles is None else [f"in tiles of {self.tiles[0]} x {self.tiles[1]}"]
        images = f"on {self.split.validation()} (validation) and {self.data.reported} (test)"
        return ", ".join([*model, images, *tiles, *classes])

    def work(self, images: ImageCounts) -> int:
        """Images to score."""
        return images.evaluated

    def own_side(self) -> Side | None:
        """The side of the model that is scored, where the stage that it follows has several."""
        return self.member or None


def evaluate(cfg: Config, *, model: Stage, member: Member = "") -> Stage:
    """Score a model on the validation images and on the test images.

    Where a moving average of its weights was kept, it is what is scored. Of a `cotrain` stage it is the model `member`.
    Tiles are as large as the crops of its training.
    """
    values: dict[str, Any] = {"averaged": model.config.keeps_average(), "scored": cfg.scored}
    if cfg.scored_in_tiles is not None:
        values["tiles"] = (*getattr(model.config, "training", cfg.finetune).augment.crop, cfg.scored_in_tiles)
    return Evaluate.stage(cfg, model.seed, {"model": model}, member=member, **values)
