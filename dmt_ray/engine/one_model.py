"""What pretrain, finetune and retrain have in common: they train one model and write it."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dmt_ray import models
from dmt_ray.config import SIDES, Model, Side, Weight
from dmt_ray.data.splits import Parts, divide
from dmt_ray.engine.batch_loader import BatchLoader, RngStream
from dmt_ray.engine.examples import write_examples
from dmt_ray.engine.loop import train
from dmt_ray.engine.pseudo_labels import PseudoLabels
from dmt_ray.engine.weighted_stepper import WeightedStepper
from dmt_ray.engine.workspace import Workspace
from dmt_ray.plan.files import CONFIDENCE, RANK
from dmt_ray.plan.operations.finetune import Finetune
from dmt_ray.plan.operations.pretrain import Pretrain
from dmt_ray.plan.operations.retrain import Retrain


def new_network(
    model: Model, seed: int, side: Side, generation: int, work: Workspace
) -> tuple[nn.Module, dict[str, Any]]:
    """A network with its first weights, and its description."""
    # The two sides and all generations must differ; neighbouring seeds must not share a generator with the other side.
    torch.manual_seed(int(np.random.SeedSequence([seed, SIDES.index(side), generation]).generate_state(1)[0]))
    description = {
        "model": model.model_dump(mode="json") | {"weights_file": None},
        "classes": len(work.dataset.classes),
        "side": side,
        "generation": generation,
    }
    return models.build(model, len(work.dataset.classes)), description


def train_one(
    network: nn.Module,
    description: dict[str, Any],
    config: Pretrain | Finetune | Retrain,
    loader: BatchLoader,
    weight: Weight | None,
    parts: Parts,
    out: Path,
    scratch: Path,
    work: Workspace,
) -> dict[str, Any]:
    """Train a network and write it; what an operation returns."""
    stepper = WeightedStepper(network, loader, config.training, weight, work)
    train(stepper, parts, out, scratch)
    if work.team.chief:
        averaged = None if stepper.averaged is None else stepper.averaged.state_dict()
        models.save(network, out, description, averaged=averaged)
    return {"steps": loader.steps}


def train_on_pseudo_labels(
    network: nn.Module,
    description: dict[str, Any],
    config: Finetune | Retrain,
    seed: int,
    labels: Path | None,
    out: Path,
    scratch: Path,
    work: Workspace,
) -> dict[str, Any]:
    """Train on labelled and pseudo-labelled images, and write the model and examples.npz."""
    parts = divide(config.split, config.data, work.dataset)
    evidence = RANK if config.weight.rule == "rank" else CONFIDENCE
    pseudo = PseudoLabels(work.dataset.subsets["train"], parts.unlabelled, labels, evidence)
    stream = RngStream(seed, description["side"], description["generation"])
    loader = BatchLoader(work, config.training, parts.labelled, pseudo, stream)
    made = train_one(network, description, config, loader, config.weight, parts, out, scratch, work)
    if work.team.chief:
        write_examples(network, pseudo, parts.unlabelled, loader.batch, config.weight, out, work)
    return made
