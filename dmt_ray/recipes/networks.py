"""Networks by name, for searches over them."""

from collections.abc import Callable, Mapping
from functools import partial

from dmt_ray.config import Config, Model, nearest
from dmt_ray.errors import ConfigError
from dmt_ray.recipes.segmentation import lite

NETWORKS: Mapping[str, Callable[[], Model]] = {f"lite{number}": partial(lite, number) for number in range(3)}
"""Name -> a function that gives the network's settings."""


def network(name: str, config: Config) -> Model:
    """A network by its name: one of `NETWORKS`, or an architecture and an encoder, as in "FPN/resnet18".

    Where these are those of a model of the settings, it is that model, with its arguments and weights. Another one has
    the usual arguments and random weights.

    Raises:
        ConfigError: If there is no such name.
    """
    for model in (config.model, config.model_b):
        if model is not None and name == own_name(model):
            return model
    if name in NETWORKS:
        return NETWORKS[name]()
    architecture, slash, encoder = name.partition("/")
    if not (architecture and slash and encoder):
        raise ConfigError(
            f"there is no network {name!r}; {nearest(name, NETWORKS)} Others are named by architecture and encoder, as "
            "in FPN/resnet18"
        )
    return Model(architecture=architecture, encoder=encoder)


def own_name(model: Model) -> str:
    """The name of a network: one of `NETWORKS`, or its architecture and encoder."""
    bare = model.evolve(weights_digest="", padding=None)
    known = (name for name, made in NETWORKS.items() if made() == bare)
    return next(known, f"{model.architecture}/{model.encoder}")


def usual_networks(config: Config) -> tuple[str, ...]:
    """Two networks to compare on a recipe: its own, and its model B or one of another size or with another decoder."""
    own = own_name(config.model)
    if config.model_b is not None and own_name(config.model_b) != own:
        return own, own_name(config.model_b)
    if own in NETWORKS:
        return own, next(name for name in ("lite1", "lite0") if name != own)
    encoder = "resnet18" if config.model.encoder == "none" else config.model.encoder
    return own, f"{'Unet' if config.model.architecture == 'FPN' else 'FPN'}/{encoder}"
