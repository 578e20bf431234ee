"""What pretrain, finetune and retrain have in common: they train one model and write it."""

from typing import Any

import numpy as np
import torch
from torch import nn

from dmt_ray import models
from dmt_ray.config import SIDES, Model, Side, Weight
from dmt_ray.data.splits import divide
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


def new_network(model: Model, side: Side, generation: int, work: Workspace) -> tuple[nn.Module, dict[str, Any]]:
    """A network with its first weights, and its description."""
    # The two sides and all generations must differ; neighbouring seeds must not share a generator with the other side.
    numbers = [work.seed, SIDES.index(side), generation]
    torch.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))
    classes = len(work.dataset.classes)
    settings = model.model_dump(mode="json") | {"weights_file": None}
    description = {"model": settings, "classes": classes, "side": side, "generation": generation}
    return models.build(model, classes), description


def train_one(
    network: nn.Module,
    description: dict[str, Any],
    config: Pretrain | Finetune | Retrain,
    loader: BatchLoader,
    weight: Weight | None,
    work: Workspace,
) -> int:
    """Train a network and write it; the number of steps."""
    stepper = WeightedStepper(network, loader, config.training, weight, work)
    train(stepper, divide(config.split, config.data, work.dataset))
    if work.team.chief:
        averaged = None if stepper.averaged is None else stepper.averaged.state_dict()
        models.save(network, work.out, description, averaged=averaged)
    return loader.steps


def train_on_pseudo_labels(
    network: nn.Module, description: dict[str, Any], config: Finetune | Retrain, work: Workspace
) -> int:
    """Train on labelled and pseudo-labelled images, and write the model and examples.npz; the number of steps."""
    parts = divide(config.split, config.data, work.dataset)
    evidence = RANK if config.weight.rule == "rank" else CONFIDENCE
    pseudo = PseudoLabels(work.dataset.subsets["train"], parts.unlabelled, work.inputs.get("labels"), evidence)
    stream = RngStream(work.seed, description["side"], description["generation"])
    loader = BatchLoader(work, config.training, parts.labelled, pseudo, stream)
    steps = train_one(network, description, config, loader, config.weight, work)
    if work.team.chief:
        write_examples(network, pseudo, parts.unlabelled, loader.batch, config.weight, work)
    return steps
