"""A few unlabelled images after a fine-tuning, as DMT shows them in Fig. 7: pseudo label, weight, prediction."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from dmt_ray.engine.inference import logits_of
from dmt_ray.engine.labels import PseudoLabels
from dmt_ray.engine.ranking import from_byte
from dmt_ray.engine.weighing import parameters_of
from dmt_ray.engine.workspace import Workspace
from dmt_ray.losses import RULES, compare
from dmt_ray.slices import Finetune

EXAMPLES = "examples.npz"
COUNT = 4


def write_examples(network: nn.Module, pseudo: PseudoLabels, config: Finetune, out: Path, work: Workspace) -> None:
    """Write examples.npz: for `COUNT` images, evenly spread over the unlabelled ones, what the trained student sees.

    The weights are those that the student, in eval mode and without augmentation, would give at the end of the stage.
    """
    images = work.dataset.subsets["train"]
    places = np.unique(np.linspace(0, len(pseudo) - 1, COUNT).round().astype(int)).tolist()
    arrays = {"ids": np.array([images.ids[pseudo.positions[place]] for place in places])}
    parameters = parameters_of(config.weight, config.training)
    network.eval()
    for number, place in enumerate(places):
        position = pseudo.positions[place]
        labels, confidence = pseudo.of(place)
        probs = logits_of(network, work, images, [position]).float().softmax(dim=1)
        given = torch.from_numpy(labels.astype(np.int64)).unsqueeze(0).to(work.device)
        sure = from_byte(torch.from_numpy(confidence)).unsqueeze(0).to(work.device)
        target = RULES[config.weight.rule](compare(probs, given, sure), parameters)
        arrays |= {
            f"image_{number}": images.image(position),
            f"truth_{number}": images.mask(position),
            f"label_{number}": target.labels[0].to(torch.uint8).cpu().numpy(),
            f"confidence_{number}": confidence,
            # A byte holds weights up to 1; "rising" can go beyond.
            f"weight_{number}": (target.weights[0] * 255).round().clamp(max=255).to(torch.uint8).cpu().numpy(),
            f"prediction_{number}": probs[0].argmax(dim=0).to(torch.uint8).cpu().numpy(),
        }
    np.savez_compressed(out / EXAMPLES, allow_pickle=False, **arrays)
