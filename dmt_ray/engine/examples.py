"""A few unlabelled images after a training, as DMT shows them in Fig. 7: pseudo label, weight, prediction."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from dmt_ray import IGNORE
from dmt_ray.config import Weight
from dmt_ray.engine.inference import logits_of
from dmt_ray.engine.pseudo_labels import PseudoLabels
from dmt_ray.engine.ranking import from_byte
from dmt_ray.engine.workspace import Workspace
from dmt_ray.losses import Moment, bind, compare
from dmt_ray.plan.files import EXAMPLES

COUNT = 4


def write_examples(
    network: nn.Module,
    pseudo: PseudoLabels,
    unlabelled: Sequence[int],
    batch: tuple[int, int],
    weight: Weight,
    work: Workspace,
) -> None:
    """Write examples.npz: for `COUNT` images, evenly spread over the unlabelled ones, what the trained student sees.

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
    places = np.unique(np.linspace(0, len(unlabelled) - 1, COUNT).round().astype(int))
    positions = [unlabelled[place] for place in places]
    taught = {position: i for i, position in enumerate(pseudo.positions)}
    arrays = {"ids": np.array([images.ids[position] for position in positions])}
    rule = bind(weight.rule, weight.numbers(), Moment(1.0, batch))
    network.eval()
    for number, position in enumerate(positions):
        if position in taught:
            labels, confidence = pseudo.of(taught[position])
        else:
            labels = np.full_like(images.mask(position), IGNORE)
            confidence = np.zeros_like(labels)
        probs = logits_of(network, work, images, [position]).float().softmax(dim=1)
        given = torch.from_numpy(labels.astype(np.int64)).unsqueeze(0).to(work.device)
        sure = from_byte(torch.from_numpy(confidence)).unsqueeze(0).to(work.device)
        target = rule(compare(probs, given, sure))
        arrays |= {
            f"image_{number}": images.image(position),
            f"truth_{number}": images.mask(position),
            f"label_{number}": target.labels[0].to(torch.uint8).cpu().numpy(),
            f"{'rank' if weight.rule == 'rank' else 'confidence'}_{number}": confidence,
            # A byte holds weights up to 1; "rising" and "rank" can go beyond.
            f"weight_{number}": (target.weights[0] * 255).round().clamp(max=255).to(torch.uint8).cpu().numpy(),
            f"prediction_{number}": probs[0].argmax(dim=0).to(torch.uint8).cpu().numpy(),
        }
    np.savez_compressed(work.out / EXAMPLES, allow_pickle=False, **arrays)
