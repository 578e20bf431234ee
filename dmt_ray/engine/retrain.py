"""Retrain: train a new model on labelled and pseudo-labelled images."""

from dmt_ray.engine.one_model import new_network, train_on_pseudo_labels
from dmt_ray.engine.workspace import Workspace
from dmt_ray.plan.operations.retrain import Retrain


def retrain(config: Retrain, work: Workspace) -> int:
    """Train a new model with the pseudo labels in ``work.inputs["labels"]`` (DMT, Algorithm 1, lines 6 and 7).

    Writes what `finetune` writes.

    Returns:
        Optimizer steps.
    """
    network, description = new_network(config.model, config.side, config.generation, work)
    return train_on_pseudo_labels(network, description, config, work)
