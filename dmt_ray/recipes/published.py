"""Whether settings are those of a paper, so that its numbers may appear beside ours."""

from typing import Any

from dmt_ray.config import Config, Model
from dmt_ray.recipes import RECIPES, named

# Of the papers' recipes, by the beginning of their names.
TRAINED = ("voc-1", "cityscapes-", "rml-", "rwms-")  # start from weights of ImageNet or COCO
RANDOM = ("cifar10-4000", "cifar10-1000", "pets")
# Model A from weights of one kind and B of another, where no half of the labelled images makes them differ (DMT,
# Sec. 4.1.2).
DMT = ("voc-1", "cityscapes-")


def as_published(config: Config) -> bool:
    """Whether initial weights, data and training are those of the paper that the recipe reproduces.

    Which weights a file holds nobody can know but the user: where the paper starts from trained ones, some must be
    given for every model, and for DMT's two models different ones where the paper has such.

    Args:
        config: Settings of a column of a table, without what its rows change; bound to data or not.
    """
    if config.recipe not in RECIPES or not config.recipe.startswith(TRAINED + RANDOM):
        return False
    own, trained = named(config.recipe), config.recipe.startswith(TRAINED)
    first = [_weights(model) for model in (config.model, config.model_b) if model is not None]
    if any(bool(weights) != trained for weights in first):
        return False
    if config.recipe.startswith(DMT) and (len(set(first)) > 1) != (own.dms_alpha == 1):
        return False
    return _without_weights(config) == _without_weights(own)


def _weights(model: Model) -> str:
    return model.weights_digest or model.weights_file or model.encoder_weights or ""


def _without_weights(config: Config) -> dict[str, Any]:
    """The settings without what names weights and content of data."""
    model, other = (model and _bare(model) for model in (config.model, config.model_b))
    bare = config.evolve(
        data=config.data.evolve(fingerprint=""),
        split=config.split.evolve(list_digest=""),
        model=model,
        model_b=None if other == model else other,
    )
    return bare.identity()


def _bare(model: Model) -> Model:
    return model.evolve(weights_file=None, weights_digest="", encoder_weights=None, padding=None)
