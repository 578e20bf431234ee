"""Retrain: train a new model on labelled and pseudo-labelled images from its first step."""

from collections.abc import Sequence
from typing import Any

from dmt_ray.config import Config, Model, Weight, neutral
from dmt_ray.plan import ImageCounts, NewModelSlice, Operation, Stage, mixing_revision
from dmt_ray.plan.amounts import images_of
from dmt_ray.plan.files import EXAMPLES, HISTORY


class Retrain(NewModelSlice):
    """What retraining reads."""

    operation = Operation("retrain", revision=1)
    follows = "labels"
    writes = (HISTORY, EXAMPLES)
    without_work = frozenset({"weight", "model", "generation"})

    weight: Weight
    generation: int
    images: float = neutral(1.0)  # share of the unlabelled images that have labels

    def identity(self) -> dict[str, Any]:
        """With what says how mixup mixes weights."""
        return super().identity() | mixing_revision(self.training, self.weight)

    def padded(self, stage: Stage) -> Sequence[Model]:
        """The network: a few images are written down with what it makes of them."""
        return stage.networks()

    def __str__(self) -> str:
        model, weight = f"{self.model.architecture}/{self.model.encoder}", self.weight.identity()
        numbers = ", ".join(f"{name}={value}" for name, value in weight.items())
        return f"{self.side}: {model} from scratch, generation {self.generation}, {numbers}"

    def lists(self, images: ImageCounts) -> dict[str, int]:
        """Of the unlabelled images those that have labels."""
        return {"labelled": images.labelled, "pseudo": images_of(images.unlabelled, self.images)}


def retrain(cfg: Config, *, labels: Stage, seed: int, generation: int) -> Stage:
    """Train a new model A from its initial weights on labelled and pseudo-labelled images (DMT, Algorithm 1).

    `cfg.weight` says how much each pseudo label counts; `labels` are those of all unlabelled images or of some (see
    `compose`). Each generation, from 1 on, has its own initial weights, order and augmentation.
    """
    model, training, share = cfg.model, cfg.retrain or cfg.online, labels.config.labelled_share()
    values = {"model": model, "training": training, "weight": cfg.weight, "side": "A", "images": share}
    return Retrain.stage(cfg, seed, {"labels": labels}, generation=generation, **values)
