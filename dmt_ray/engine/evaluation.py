"""Evaluate: one confusion matrix over the images that select, one over the images that are reported."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dmt_ray import models
from dmt_ray.data.splits import divide
from dmt_ray.engine import metrics
from dmt_ray.engine.inference import WholeImages, by_size
from dmt_ray.engine.workspace import Workspace
from dmt_ray.slices import Evaluate

METRICS = "metrics.json"


def evaluate(
    config: Evaluate, *, seed: int, inputs: Mapping[str, Path], out: Path, scratch: Path, work: Workspace
) -> dict[str, Any]:
    """Score the model in ``inputs["model"]``; writes metrics.json.

    Returns:
        {"steps": number of images}.
    """
    network, _ = models.load(inputs["model"])
    network = network.to(work.device).to(memory_format=torch.channels_last)
    parts = divide(config.split, config.data, work.dataset)
    images = len(parts.selection[1]) + len(parts.reported[1])
    scores, before = {}, 0
    for name, (subset, positions) in (("selection", parts.selection), ("reported", parts.reported)):
        scores[name] = score(network, work, subset, positions, done=before, total=images)
        before += len(positions)
    if work.team.chief:
        (out / METRICS).write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
    return {"steps": images}


def score(
    network: nn.Module, work: Workspace, subset: str, positions: Sequence[int], *, done: int = 0, total: int = 0
) -> dict[str, Any]:
    """Scores of a network on some images, pooled over the set; leaves the network in eval mode.

    The workers of a team share the images, and all get the scores.

    Returns:
        subset, images, miou, pixel_accuracy, iou (None for an absent class), confusion (rows: truth).
    """
    counts = count(network, work, subset, positions, done=done, total=total)
    matrix = work.team.add(counts.matrix())
    return {
        "subset": subset,
        "images": len(positions),
        "miou": metrics.mean_iou(matrix),
        "pixel_accuracy": metrics.pixel_accuracy(matrix),
        "iou": [None if value != value else value for value in metrics.iou(matrix).tolist()],
        "confusion": matrix.tolist(),
    }


def count(
    network: nn.Module, work: Workspace, subset: str, positions: Sequence[int], *, done: int = 0, total: int = 0
) -> metrics.Confusion:
    """This worker's part of the confusion matrix behind `score`; the host does not wait for the device."""
    network.eval()
    images = work.dataset.subsets[subset]
    whole = WholeImages(network, work, images)
    counts = metrics.Confusion(len(work.dataset.classes), work.device)
    for places in work.team.share(list(by_size(images, positions, work.eval_batch))):
        chosen = [positions[place] for place in places]
        counts.update(whole.logits(chosen).argmax(dim=1), whole.masks(chosen))
        done += len(chosen) * work.team.size
        if total:
            work.progress(min(done, total), total)
    return counts
