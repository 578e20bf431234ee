"""Retrain: train a new model on labelled and pseudo-labelled images from its first step."""

from dmt_ray.config import Config, Weight, neutral
from dmt_ray.plan import ImageCounts, NewModelSlice, Operation, Stage
from dmt_ray.plan.amounts import images_of, steps
from dmt_ray.plan.files import EXAMPLES, HISTORY

RETRAIN = Operation("retrain", revision=1)


class Retrain(NewModelSlice):
    """What retraining reads: a new model, on labelled and pseudo-labelled images from its first step."""

    follows = "labels"
    writes = (HISTORY, EXAMPLES)
    without_work = frozenset({"weight", "model", "generation"})

    weight: Weight
    generation: int
    images: float = neutral(1.0)  # share of the unlabelled images that have labels

    def __str__(self) -> str:
        weight = ", ".join(f"{name}={value}" for name, value in self.weight.identity().items())
        return (
            f"{self.side}: {self.model.architecture}/{self.model.encoder} anew, generation {self.generation}, {weight}"
        )

    def work(self, images: ImageCounts) -> int:
        """Optimizer steps."""
        pseudo = images_of(images.unlabelled, self.images)
        return steps(self.training, labelled=images.labelled, pseudo=pseudo)


def retrain(cfg: Config, *, labels: Stage, seed: int, generation: int) -> Stage:
    """Train a new model A from its first weights on labelled and pseudo-labelled images (DMT, Algorithm 1).

    Args:
        cfg: Settings of the method; `cfg.weight` says how much each pseudo label counts.
        labels: Pseudo labels, of all unlabelled images or of some (see `compose`).
        seed: Seed of the experiment.
        generation: From 1 on. Each has its own first weights, order and augmentation.
    """
    config = Retrain(
        data=cfg.data,
        split=cfg.split.for_seed(seed),
        model=cfg.model,
        training=cfg.retrain or cfg.online,
        weight=cfg.weight,
        side="A",
        generation=generation,
        images=labels.config.labelled_share(),
    )
    return Stage(RETRAIN, config, seed, {"labels": labels})
