"""What pretrain, finetune and retrain have in common: they train one model and write it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dmt_ray import IGNORE, models
from dmt_ray.config import SIDES, Model, Side, Weight
from dmt_ray.data.pictures import rgb
from dmt_ray.data.splits import divide
from dmt_ray.engine.batch_loader import BatchLoader, RngStream
from dmt_ray.engine.inference import WholeImages
from dmt_ray.engine.loop import train
from dmt_ray.engine.pseudo_labels import PseudoLabels
from dmt_ray.engine.ranking import from_byte
from dmt_ray.engine.team import ALONE
from dmt_ray.engine.transfer import fetch, upload
from dmt_ray.engine.weighted_stepper import WeightedStepper
from dmt_ray.engine.workspace import Workspace
from dmt_ray.losses.rules import bind
from dmt_ray.losses.weighting import Moment, compare
from dmt_ray.plan.files import CONFIDENCE, EXAMPLES, RANK
from dmt_ray.plan.operations.finetune import Finetune
from dmt_ray.plan.operations.pretrain import Pretrain
from dmt_ray.plan.operations.retrain import Retrain

EXAMPLE_COUNT = 4


def new_network(model: Model, side: Side, generation: int, work: Workspace) -> tuple[nn.Module, dict[str, Any]]:
    """A network with its initial weights, and its description."""
    # The two sides and all generations must differ; neighbouring seeds must not share a generator with the other side.
    numbers = [work.seed, SIDES.index(side), generation]
    torch.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))
    classes = len(work.dataset.classes)
    settings = model.model_dump(mode="json", exclude={"padding"}) | {"weights_file": None}
    description = {"model": settings, "classes": classes, "side": side, "generation": generation}
    name, *statistics = work.normalisation
    if name != "imagenet":  # for those who go on with the model elsewhere
        description |= {"normalised": name} | ({"statistics": statistics} if name == "data" else {})
    first = models.first_weights(model, work.weights)
    if first is not None:
        description["first_weights"] = first.about()
    return models.build(model, classes, first), description


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
    evidence = RANK if config.weight.evidence == "rank" else CONFIDENCE
    pseudo = PseudoLabels(work.dataset.subsets["train"], parts.unlabelled, work.inputs.get("labels"), evidence)
    stream = RngStream(work.seed, description["side"], description["generation"])
    loader = BatchLoader(work, config.training, parts.labelled, pseudo, stream)
    steps = train_one(network, description, config, loader, config.weight, work)
    if work.team.chief:
        write_examples(network, pseudo, parts.unlabelled, loader.batch, config.weight, work)
    return steps


def write_examples(
    network: nn.Module,
    pseudo: PseudoLabels,
    unlabelled: Sequence[int],
    batch: tuple[int, int],
    weight: Weight,
    work: Workspace,
) -> None:
    """Write examples.npz: what a student sees in `EXAMPLE_COUNT` images, evenly spread over the unlabelled ones.

    The weights are those that the student, in eval mode and without augmentation, would give at the end of the stage.
    An image that has no pseudo labels is there without them, so that all stages of a plan show the same images.

    Args:
        network: The student.
        pseudo: What it was taught.
        unlabelled: Positions of the unlabelled images in the train subset.
        batch: Labelled and pseudo-labelled images of a step.
        weight: The rule and its settings.
        work: Data, device and folder.
    """
    images = work.dataset.subsets["train"]
    places = np.unique(np.linspace(0, len(unlabelled) - 1, EXAMPLE_COUNT).round().astype(int))
    positions = [unlabelled[place] for place in places]
    taught = {position: i for i, position in enumerate(pseudo.positions)}
    arrays: dict[str, NDArray[Any] | Tensor] = {"ids": np.array([images.ids[position] for position in positions])}
    rule = bind(weight.rule, weight.numbers(), Moment(1.0, batch))
    # Alone: the team's other workers write nothing.
    whole = WholeImages(network.eval(), replace(work, team=ALONE), images)
    for number, position in enumerate(positions):
        if position in taught:
            labels, confidence = pseudo.of(taught[position])
        else:
            labels = np.full_like(images.mask(position), IGNORE)
            confidence = np.zeros_like(labels)
        probs = whole.logits([position]).float().softmax(dim=1)
        given, sure = (upload([array[np.newaxis]], work.device) for array in (labels, confidence))
        target = rule(compare(probs, given.long(), from_byte(sure)))
        arrays |= {
            f"image_{number}": rgb(images.image(position)),
            f"truth_{number}": images.mask(position),
            f"label_{number}": target.labels[0].to(torch.uint8),
            f"{weight.evidence}_{number}": confidence,
            # A byte holds weights up to 1; "rising" and "rank" can go beyond.
            f"weight_{number}": (target.weights[0] * 255).round().clamp(max=255).to(torch.uint8),
            f"prediction_{number}": probs[0].argmax(dim=0).to(torch.uint8),
        }
    whole.check()
    fetched = fetch({name: array for name, array in arrays.items() if isinstance(array, Tensor)})
    on_host = {name: fetched[name].numpy() if isinstance(array, Tensor) else array for name, array in arrays.items()}
    np.savez_compressed(work.out / EXAMPLES, allow_pickle=False, **on_host)
