"""Finetune: train a model further on labelled and pseudo-labelled images."""

from collections.abc import Sequence
from typing import Any

from dmt_ray.config import Config, Model, Weight
from dmt_ray.plan import Operation, Stage, TrainingSlice, mixing_revision
from dmt_ray.plan.files import EXAMPLES, HISTORY


class Finetune(TrainingSlice):
    """What fine-tuning reads; the architecture comes with the model it starts from."""

    operation = Operation("finetune", revision=1)
    follows = "start"
    writes = (HISTORY, EXAMPLES)
    without_work = frozenset({"weight"})

    weight: Weight

    def identity(self) -> dict[str, Any]:
        """With what says how mixup mixes weights."""
        return super().identity() | mixing_revision(self.training, self.weight)

    def setting(self) -> str:
        """Two trainings are finetune stages."""
        return "online" if self.weight.makes_labels else "finetune"

    def padded(self, stage: Stage) -> Sequence[Model]:
        """The network: a few images are written down with what it makes of them."""
        return stage.networks()

    def __str__(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.weight.identity().items())


def finetune(cfg: Config, *, start: Stage, labels: Stage | None, seed: int) -> Stage:
    """Train a model further on labelled and pseudo-labelled images together (DMT, Eq. 3-6).

    The weights of `start` are taken over, momentum and schedule are not. `cfg.weight` says how much each pseudo label
    counts; `labels` is None where its rule makes them online. The seed is that of the images' order and augmentation.
    """
    online = cfg.weight.makes_labels
    if online != (labels is None):
        raise ValueError(f"rule {cfg.weight.rule!r} {'makes its labels itself' if online else 'needs labels'}")
    inputs = {"start": start} | ({} if labels is None else {"labels": labels})
    return Finetune.stage(cfg, seed, inputs, training=cfg.online if online else cfg.finetune, weight=cfg.weight)
