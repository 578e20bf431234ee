"""Evaluate: all scores of a model on the validation images and on the test images, in one pass over each."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from dmt_ray import models
from dmt_ray.data.images import Images
from dmt_ray.data.splits import divide
from dmt_ray.engine.inference import WholeImages, by_size
from dmt_ray.engine.tally import Tally
from dmt_ray.engine.tile_scores import predictor_of, score_in_tiles
from dmt_ray.engine.tiles import Predictor
from dmt_ray.engine.workspace import Workspace
from dmt_ray.plan.files import METRICS
from dmt_ray.plan.measures import measure_in
from dmt_ray.plan.operations.ensemble import Ensemble
from dmt_ray.plan.operations.evaluate import Evaluate


class Scored(Protocol):
    """What is scored: a network, or several together, on the images of one subset; see `WholeImages`."""

    def logits(self, chosen: Sequence[int]) -> Tensor:
        """Logits of images of one size, float ``[N, K, H, W]``."""
        ...

    def masks(self, chosen: Sequence[int]) -> Tensor:
        """Their true masks, uint8 ``[N, H, W]``."""
        ...

    def check(self) -> None:
        """Make sure that all logits so far were finite."""
        ...


def evaluate(config: Evaluate, work: Workspace) -> int:
    """Score the model in ``work.inputs["model"]``; writes metrics.json.

    Where the moving average of its weights is what is scored, the last weights are scored beside it: ``last_weights``
    holds their measure, and in classification also their fine-grained score.

    Returns:
        Number of images.
    """
    kinds = (True, False) if config.averaged else (False,)
    scores: dict[str, dict[str, Any]] = {}
    images = 0
    for number, averaged in enumerate(kinds):
        network, description = load(work, "model", config.member or models.MODEL, averaged=averaged)
        scored: Callable[[Images], Scored] | Predictor
        if config.tiles is None:
            scored = partial(WholeImages, network, work, name=models.title(description))
        else:
            scored = predictor_of(network, work, config.tiles)
        images, found = score_both(config, work, scored, full=number == 0, passes=(number, len(kinds)))
        for name, result in found.items():
            if name in scores:
                measures = (measure_in(result), "fine_grained")
                scores[name]["last_weights"] = {measure: result[measure] for measure in measures if measure in result}
            else:
                scores[name] = result
    write(work, scores)
    return images


def load(work: Workspace, stage: str, name: str, *, averaged: bool) -> tuple[nn.Module, Mapping[str, Any]]:
    """A model of an input on the device, in eval mode, and its description."""
    network, description = models.load(work.inputs[stage], name, averaged=averaged)
    return network.to(work.device).to(memory_format=torch.channels_last).eval(), description


def write(work: Workspace, scores: Mapping[str, Any]) -> None:
    """Write metrics.json, by the chief of a team."""
    if work.team.chief:
        (work.out / METRICS).write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")


def score_both(
    config: Evaluate | Ensemble,
    work: Workspace,
    scored: Callable[[Images], Scored] | Predictor,
    *,
    full: bool = True,
    passes: tuple[int, int] = (0, 1),
) -> tuple[int, dict[str, dict[str, Any]]]:
    """Score what `scored` makes of the images of a subset on the validation images and on the test images.

    Args:
        config: Which images, and the classes of the mIoU.
        work: Where it is done.
        scored: A network, or several together; what predicts images in tiles is judged by its decisions alone.
        full: As of `Tally`.
        passes: Number of this pass over all images, from 0 on, and of all passes, for the progress that is shown.

    Returns:
        Number of images; {"selection": scores, "reported": scores}, as of `score`.
    """
    parts = divide(config.split, config.data, work.dataset)
    classes = [work.dataset.classes.index(name) for name in config.scored]
    images = len(parts.selection[1]) + len(parts.reported[1])
    done = passes[0] * images
    found: dict[str, dict[str, Any]] = {}
    for name, (subset, positions) in (("selection", parts.selection), ("reported", parts.reported)):
        steps = {"done": done, "total": images * passes[1]}
        if isinstance(scored, Predictor):
            found[name] = score_in_tiles(scored, work, subset, positions, classes, **steps)
        else:
            judged = scored(work.dataset.subsets[subset])
            found[name] = score(judged, work, subset, positions, classes, full=full, **steps)
        done += len(positions)
    return images, found


def score(
    scored: Scored,
    work: Workspace,
    subset: str,
    positions: Sequence[int],
    classes: Sequence[int] = (),
    *,
    full: bool = True,
    done: int = 0,
    total: int = 0,
) -> dict[str, Any]:
    """Scores on some images, pooled over the set. The workers of a team share the images, and all get the scores.

    Returns:
        subset, images, and what `Tally.scores` returns.

    Raises:
        TrainingFailed: If logits are not finite.
    """
    tally = count(scored, work, subset, positions, full=full, done=done, total=total)
    scored.check()
    return {"subset": subset, "images": len(positions), **tally.scores(work.team, classes)}


def count(
    scored: Scored,
    work: Workspace,
    subset: str,
    positions: Sequence[int],
    *,
    full: bool = True,
    done: int = 0,
    total: int = 0,
) -> Tally:
    """This worker's part of the sums behind `score`; the host does not wait for the device."""
    images = work.dataset.subsets[subset]
    tally = Tally(len(work.dataset.classes), work.dataset.task, work.device, full=full)
    for places in work.team.share(list(by_size(images, positions, work.eval_batch))):
        chosen = [positions[place] for place in places]
        tally.update(scored.logits(chosen), scored.masks(chosen))
        done += len(chosen) * work.team.size
        if total:
            work.progress(min(done, total), total)
    return tally
