"""Finetune: train a model further on labelled and pseudo-labelled images."""

from dmt_ray import models
from dmt_ray.engine.one_model import train_on_pseudo_labels
from dmt_ray.engine.workspace import Workspace
from dmt_ray.plan.operations.finetune import Finetune


def finetune(config: Finetune, work: Workspace) -> int:
    """Train ``work.inputs["start"]`` further with the pseudo labels in ``work.inputs["labels"]`` (or, online, its own).

    Writes the model, history.csv and examples.npz (DMT, Fig. 7).

    Returns:
        Optimizer steps.
    """
    network, description = models.load(work.inputs["start"])
    description["generation"] += 1
    return train_on_pseudo_labels(network, description, config, work)
