"""What can be known before work begins of the images that a plan divides, and of the batches that it makes of them."""

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from dmt_ray import IGNORE, models
from dmt_ray.config import SIDES, Config, Model, Training
from dmt_ray.data import Dataset, dms_half
from dmt_ray.data.images import Images
from dmt_ray.data.splits import Parts
from dmt_ray.errors import DataError, ModelError
from dmt_ray.plan import ImageCounts, Stage, TrainingSlice

NEAR = 8  # images by which a batch is changed at most to find one that would do


def check_labels(parts: Parts, dataset: Dataset, dms_alpha: float) -> None:
    """Make sure that there is something to learn and something to score in each part of a split.

    Raises:
        DataError: If all images of a part are `IGNORE` alone, with the part.
    """
    train = dataset.subsets["train"]
    sets = {"labelled": (train, parts.labelled)}
    if dms_alpha < 1:
        sets |= {f"labelled (of model {side})": (train, dms_half(parts.labelled, dms_alpha, side)) for side in SIDES}
    for name, (subset, positions) in (("validation", parts.selection), ("test", parts.reported)):
        sets[name] = dataset.subsets[subset], positions
    for name, (images, chosen) in sets.items():
        if not _any_label(images, chosen):
            raise DataError(
                f"none of the {len(chosen)} {name} images of {dataset.name!r} (split {parts.name}) has a labelled "
                f"pixel: their masks hold {IGNORE} (ignore) alone. Choose others, or label some of their pixels"
            )


def _any_label(images: Images, positions: Sequence[int]) -> bool:
    return any((images.mask(position) != IGNORE).any() for position in positions)


def check_batches(config: Config, stages: Iterable[tuple[Stage, ImageCounts]], classes: int) -> None:
    """Push a batch of each size that the plan's trainings will make through their networks, in training mode.

    BatchNorm has no deviation of a single number: networks that pool an image to one pixel (DeepLabV3Plus, DeepLabV3,
    PAN) cannot train on a batch of one image, as the last of an epoch may be.

    Args:
        config: The settings that the plan was made of; bound.
        stages: The plan's stages, each with the numbers of images of its split.
        classes: Number of classes.

    Raises:
        ModelError: If a network cannot take a batch, with the training, the batch and what would do.
    """
    seen: set[tuple[str, tuple[int, int], int]] = set()
    networks: dict[str, nn.Module] = {}
    for stage, images in stages:
        if not isinstance(stage.config, TrainingSlice):
            continue
        training = stage.config.training
        for model in stage.networks():
            name = model.model_dump_json()
            for size in sorted(stage.config.batch_sizes(images)):
                if size > 1 or (name, training.augment.crop, size) in seen:
                    continue  # check_model has tried more than one
                seen.add((name, training.augment.crop, size))
                if name not in networks:
                    networks[name] = _on_paper(model, classes)
                if reason := _objection(networks[name], size, training.augment.crop):
                    raise ModelError(_sentence(config, stage.config, images, model, size, reason))


def _on_paper(model: Model, classes: int) -> nn.Module:
    with torch.device("meta"):
        return models.build(model.evolve(weights_file=None, encoder_weights=None), classes).train()


def _objection(network: nn.Module, size: int, crop: tuple[int, int]) -> str:
    try:
        network(torch.empty(size, 3, *crop, device="meta"))
    except (RuntimeError, ValueError) as error:
        return str(error).splitlines()[0]
    return ""


def _sentence(config: Config, slice_: TrainingSlice, images: ImageCounts, model: Model, size: int, reason: str) -> str:
    training = slice_.training
    name = next((name for name, each in config.trainings().items() if each == training), "training")
    listed = sum(training.batch) if training.batch[1] else training.batch[0]
    others = [other for other in _others(training) if min(_with(slice_, other).batch_sizes(images)) > size]
    advice = f"Set {name}.batch={list(others[0].batch)}" if others else f"Set another {name}.batch"
    return (
        f"{model.architecture}/{model.encoder} cannot train on a batch of {size} image of "
        f"{' x '.join(map(str, training.augment.crop))} ({reason}), but {name} with batches of {listed} images "
        f"makes one of the images of this split. {advice}, or another split.labelled"
    )


def _others(training: Training) -> Iterable[Training]:
    """The training with other batches, the nearest first."""
    first, second = training.batch
    for distance in range(1, NEAR + 1):
        for change in (distance, -distance):
            if first + change > 0:
                yield training.evolve(batch=(first + change, second))


def _with(slice_: TrainingSlice, training: Training) -> TrainingSlice:
    return slice_.evolve(training=training)
