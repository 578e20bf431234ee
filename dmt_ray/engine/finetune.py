"""Finetune: train a model further on labelled and pseudo-labelled images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dmt_ray import models
from dmt_ray.engine.one_model import train_on_pseudo_labels
from dmt_ray.engine.workspace import Workspace
from dmt_ray.plan.operations.finetune import Finetune


def finetune(
    config: Finetune, *, seed: int, inputs: Mapping[str, Path], out: Path, scratch: Path, work: Workspace
) -> dict[str, Any]:
    """Train ``inputs["start"]`` further with the pseudo labels in ``inputs["labels"]`` (or, online, its own).

    Writes the model, history.csv and examples.npz (DMT, Fig. 7).

    Returns:
        {"steps": optimizer steps}.
    """
    network, description = models.load(inputs["start"])
    description["generation"] += 1
    return train_on_pseudo_labels(network, description, config, seed, inputs.get("labels"), out, scratch, work)
