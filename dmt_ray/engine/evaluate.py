"""Evaluate: one confusion matrix over the validation images, one over the test images."""

import json
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dmt_ray import models
from dmt_ray.data.splits import divide
from dmt_ray.engine import metrics
from dmt_ray.engine.inference import WholeImages, by_size
from dmt_ray.engine.tile_scores import predictor_of, score_in_tiles
from dmt_ray.engine.workspace import Workspace
from dmt_ray.plan.files import METRICS
from dmt_ray.plan.measures import measure_in
from dmt_ray.plan.operations.evaluate import Evaluate


def evaluate(config: Evaluate, work: Workspace) -> int:
    """Score the model in ``work.inputs["model"]``; writes metrics.json.

    Where the moving average of its weights is what is scored, the last weights are scored beside it: ``last_weights``
    holds their measure, and in classification also their fine-grained score.

    Returns:
        Number of images.
    """
    parts = divide(config.split, config.data, work.dataset)
    classes = [work.dataset.classes.index(name) for name in config.scored]
    images = len(parts.selection[1]) + len(parts.reported[1])
    kinds = (True, False) if config.averaged else (False,)
    scores: dict[str, dict[str, Any]] = {}
    done = 0
    for averaged in kinds:
        network, description = models.load(work.inputs["model"], config.member or models.MODEL, averaged=averaged)
        network = network.to(work.device).to(memory_format=torch.channels_last)
        for name, (subset, positions) in (("selection", parts.selection), ("reported", parts.reported)):
            name_of = models.title(description)
            steps = {"done": done, "total": images * len(kinds)}
            if config.tiles is None:
                result = score(network, work, subset, positions, name_of, classes, **steps)
            else:
                predictor = predictor_of(network, work, config.tiles)
                result = score_in_tiles(predictor, work, subset, positions, classes, **steps)
            done += len(positions)
            if name in scores:
                measures = (measure_in(result), "fine_grained")
                scores[name]["last_weights"] = {measure: result[measure] for measure in measures if measure in result}
            else:
                scores[name] = result
    if work.team.chief:
        (work.out / METRICS).write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
    return images


def score(
    network: nn.Module,
    work: Workspace,
    subset: str,
    positions: Sequence[int],
    name: str = "the model",
    classes: Sequence[int] = (),
    *,
    done: int = 0,
    total: int = 0,
) -> dict[str, Any]:
    """Scores of a network on some images, pooled over the set; leaves the network in eval mode.

    The workers of a team share the images, and all get the scores. ``classes`` are those of the mIoU, see
    `metrics.mean_iou`.

    Returns:
        subset, images, miou, pixel_accuracy, iou (None for an absent class), confusion (rows: truth). In classification
        also measure ("accuracy"), accuracy and fine_grained, the mean over the images of the probability of the right
        class where the decision is right.

    Raises:
        TrainingFailed: If logits are not finite.
    """
    whole = WholeImages(network.eval(), work, work.dataset.subsets[subset], name)
    counts, likely = count(whole, work, subset, positions, done=done, total=total)
    whole.check()
    matrix = work.team.add(counts.matrix())
    scores = {
        "subset": subset,
        "images": len(positions),
        "miou": metrics.mean_iou(matrix, classes),
        "pixel_accuracy": metrics.pixel_accuracy(matrix),
        "iou": [None if value != value else value for value in metrics.iou(matrix).tolist()],
        "confusion": matrix.tolist(),
    }
    if likely is not None:
        judged = int(matrix.sum())
        scores |= {
            "measure": "accuracy",
            "accuracy": int(matrix.diagonal().sum()) / judged,
            "fine_grained": float(work.team.add(likely)) / judged,
        }
    return scores


def count(
    whole: WholeImages, work: Workspace, subset: str, positions: Sequence[int], *, done: int = 0, total: int = 0
) -> tuple[metrics.Confusion, Tensor | None]:
    """This worker's part of the sums behind `score`; the host does not wait for the device.

    Returns:
        The confusion matrix, and in classification the sum of `metrics.right_probability`.
    """
    likely: Tensor | None = None
    if work.dataset.task == "classification":
        likely = torch.zeros((), dtype=torch.float64, device=work.device)
    images = work.dataset.subsets[subset]
    counts = metrics.Confusion(len(work.dataset.classes), work.device)
    for places in work.team.share(list(by_size(images, positions, work.eval_batch))):
        chosen = [positions[place] for place in places]
        logits, truth = whole.logits(chosen), whole.masks(chosen)
        counts.update(logits.argmax(dim=1), truth)
        if likely is not None:
            likely += metrics.right_probability(logits, truth)
        done += len(chosen) * work.team.size
        if total:
            work.progress(min(done, total), total)
    return counts, likely
