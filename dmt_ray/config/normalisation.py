"""Mean and standard deviation by which the channels of images are normalised."""

from typing import Literal, NamedTuple

from dmt_ray.errors import ConfigError

Normalised = Literal["imagenet", "cifar10", "data"]
Statistics = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each channel, for images in ``[0, 1]``."""


class Normalisation(NamedTuple):
    """Mean and standard deviation of each channel, for images in ``[0, 1]``, and whose they are."""

    name: Normalised
    mean: tuple[float, ...]
    std: tuple[float, ...]


# Of ImageNet, which the field's pre-trained encoders expect; and of the 50,000 training images of CIFAR-10 over all
# pixels.
IMAGENET = Normalisation("imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_KNOWN = {
    "imagenet": IMAGENET,
    "cifar10": Normalisation("cifar10", (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
}


def normalisation_of(normalised: Normalised, statistics: Statistics | None) -> Normalisation:
    """The numbers that the settings `normalised` and `statistics` name.

    Raises:
        ConfigError: If they are the data set's own and not known yet.
    """
    if normalised != "data":
        return _KNOWN[normalised]
    if statistics is None:
        raise ConfigError("data.statistics is filled in when the data are opened, which they have not been")
    return Normalisation("data", *statistics)
