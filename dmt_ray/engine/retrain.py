"""Retrain: train a new model on labelled and pseudo-labelled images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dmt_ray.engine.one_model import new_network, train_on_pseudo_labels
from dmt_ray.engine.workspace import Workspace
from dmt_ray.plan.operations.retrain import Retrain


def retrain(
    config: Retrain, *, seed: int, inputs: Mapping[str, Path], out: Path, scratch: Path, work: Workspace
) -> dict[str, Any]:
    """Train a new model with the pseudo labels in ``inputs["labels"]`` (DMT, Algorithm 1, lines 6 and 7).

    Writes what `finetune` writes.

    Returns:
        {"steps": optimizer steps}.
    """
    network, description = new_network(config.model, seed, config.side, config.generation, work)
    return train_on_pseudo_labels(network, description, config, seed, inputs["labels"], out, scratch, work)
