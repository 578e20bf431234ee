"""Scores of what `dmt predict` makes of images: the number in the table is then the number in use."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from dmt_ray.engine.tally import Tally
from dmt_ray.engine.tiles import Predictor, Tiling
from dmt_ray.engine.workspace import Workspace


def predictor_of(network: nn.Module, work: Workspace, tiles: tuple[int, int, float]) -> Predictor:
    """What predicts images at their working size; `tiles`: height, width and overlap."""
    height, width, overlap = tiles
    return Predictor([network], Tiling((height, width), overlap), work.device, normalisation=work.normalisation)


def score_in_tiles(
    predictor: Predictor,
    work: Workspace,
    subset: str,
    positions: Sequence[int],
    classes: Sequence[int] = (),
    *,
    done: int = 0,
    total: int = 0,
) -> dict[str, Any]:
    """Scores on some images, pooled over the set. The workers of a team share the images, and all get the scores.

    ``classes`` are those of the mIoU, see `metrics.mean_iou`.

    Returns:
        subset, images, miou, pixel_accuracy, iou (None for an absent class), confusion (rows: truth).

    Raises:
        ModelError: If logits are not finite.
    """
    images = work.dataset.subsets[subset]
    tally = Tally(len(work.dataset.classes), work.dataset.task, full=False)
    for place in work.team.share(list(positions)):
        predicted = predictor.predict(images.image(place)).classes
        tally.decisions.update(torch.from_numpy(predicted), torch.from_numpy(images.mask(place).copy()))
        done += work.team.size
        if total:
            work.progress(min(done, total), total)
    return {"subset": subset, "images": len(positions), **tally.scores(work.team, classes)}
