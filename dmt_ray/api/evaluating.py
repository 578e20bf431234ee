"""`dmt evaluate`: score a model on any data set, kept in the store."""

import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from rich.console import Console
from torch import Tensor, nn

from dmt_ray import models
from dmt_ray.api.trained import Trained
from dmt_ray.config import Config
from dmt_ray.data import Dataset
from dmt_ray.data.images import Images
from dmt_ray.engine.evaluate import score as score_whole
from dmt_ray.engine.inference import WholeImages, by_size
from dmt_ray.engine.tile_scores import score_in_tiles
from dmt_ray.engine.tiles import Predictor, Tiling
from dmt_ray.engine.workspace import Workspace, device_of
from dmt_ray.errors import ConfigError, DataError
from dmt_ray.execution.label_check import check_scored
from dmt_ray.execution.progress import Counting
from dmt_ray.execution.runner import Machine, Runner
from dmt_ray.plan.files import METRICS
from dmt_ray.plan.key import key_of
from dmt_ray.plan.operations.score import score as score_stage
from dmt_ray.plan.words import counted
from dmt_ray.store.provenance import git, versions


class Evaluation(NamedTuple):
    """The scores of a model on the test images of a data set."""

    scores: dict[str, Any]  # as `engine.evaluate.score` returns them
    classes: tuple[str, ...]  # of the data set, in the order of "iou" and "confusion"
    stored: bool  # whether they were in the store before
    key: str  # of the stage


class _InOrder(nn.Module):
    """Networks as one: the logarithm of their mean probabilities, its classes in another order."""

    def __init__(self, networks: Sequence[nn.Module], order: Sequence[int]) -> None:
        super().__init__()
        self.networks, self.order, self.padding = nn.ModuleList(networks), list(order), models.padding_of(networks[0])

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[N, K, ...]``."""
        if len(self.networks) == 1:
            logits: Tensor = self.networks[0](images)
        else:
            each = torch.stack([network(images).log_softmax(dim=1) for network in self.networks])
            logits = each.logsumexp(dim=0) - math.log(len(each))
        return logits[:, self.order]


def evaluate(model: Trained, config: Config, machine: Machine, tiling: Tiling | None, console: Console) -> Evaluation:
    """Score a model on the test images of the data set that some settings name.

    Args:
        model: One network, or several whose probabilities are averaged.
        config: Its data set, test images (`data.reported`) and classes of the mean (`scored`) count.
        machine: Store, folder of the data, device.
        tiling: How images are cut; None in classification.
        console: For progress.

    Raises:
        ConfigError: If the classes of the model are not those of the data set, or it is for another task.
        DataError: If the data cannot be used.
        ModelError: If logits are not finite.
    """
    runner = Runner(machine)
    dataset = runner.dataset(config.data)
    check_scored(config.scored, dataset)
    order = _order(model, dataset)
    infos = model.infos
    stage = score_stage(
        config.data.evolve(fingerprint=dataset.fingerprint),
        scored=config.scored,
        weights=tuple(
            f"{models.digest(file)} {key_of(info.model.identity())}"
            for file, info in zip(model.files, infos, strict=True)
        ),
        classes=model.info.classes,
        normalised=model.info.normalised,
        statistics=model.info.statistics,
        size=model.info.size,
        tile=None if tiling is None else tiling.tile,
        **({} if tiling is None else {"overlap": tiling.overlap, "flip": tiling.flip, "scales": tiling.scales}),
    )
    store = runner.store
    stored = store.has(stage)
    if not stored:
        images = dataset.subsets[config.data.reported]
        positions = [place for place in range(len(images)) if images.known[place]]
        if not positions:
            raise DataError(f"no image of {config.data.reported} of {config.data.name} has a mask; there is no score")
        chosen = [dataset.classes.index(name) for name in config.scored]
        made = {"model": model.name, "device": machine.device, "versions": versions(), "git": git()}
        progress = Counting(console, "image", _pixels(images, positions, in_tiles=tiling is not None))
        with progress, store.write(stage, made) as out:
            work = Workspace(
                dataset,
                device_of(machine.device),
                normalisation=model.info.normalisation,
                progress=lambda done, _: progress.to(done),
            )
            network, counted = _InOrder(model.networks, order).to(work.device).eval(), {"total": len(positions)}
            if tiling is None:
                whole = WholeImages(network, work, images, model.name)
                scores = score_whole(whole, work, config.data.reported, positions, chosen, total=len(positions))
            else:
                how: dict[str, Any] = {"normalisation": model.info.normalisation, "size": model.info.size}
                predictor = Predictor([network], tiling, work.device, progress=progress.part, **how)
                scores = score_in_tiles(predictor, work, config.data.reported, positions, chosen, **counted)
            (out / METRICS).write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
    values = json.loads((store.open(stage) / METRICS).read_text(encoding="utf-8"))
    return Evaluation(values, dataset.classes, stored, stage.name)


def _pixels(images: Images, positions: Sequence[int], *, in_tiles: bool) -> list[float]:
    """Those of each image in the order in which images are scored: whole ones size by size."""
    batches = [range(len(positions))] if in_tiles else by_size(images, positions, len(positions))
    pixels = images.sizes[list(positions)].prod(axis=1)
    return [float(pixels[place]) for batch in batches for place in batch]


def _order(model: Trained, dataset: Dataset) -> list[int]:
    """The place of each class of a data set among those of a model.

    Raises:
        ConfigError: If they are not the same classes.
    """
    if model.info.task != dataset.task:
        raise ConfigError(f"{model.name} is for {model.info.task}, but {dataset.name} is for {dataset.task}")
    if model.info.channels != dataset.channels:
        raise ConfigError(
            f"{model.name} takes images of {counted(model.info.channels, 'channel')}, but those of {dataset.name} have "
            f"{dataset.channels}: set data.channels"
        )
    own, theirs = model.info.classes, dataset.classes
    alone = {"only the data set has": set(theirs) - set(own), "only the model has": set(own) - set(theirs)}
    parts = [f"{what} {', '.join(map(repr, sorted(names)))}" for what, names in alone.items() if names]
    if parts or len(own) != len(theirs):
        advice = "Name the classes alike, in any order, such as with --set data.classes=[...]"
        differ = "; ".join(parts) or "some have the same name"
        raise ConfigError(f"the classes of {model.name} are not those of {dataset.name}: {differ}. {advice}")
    return [own.index(name) for name in theirs]
