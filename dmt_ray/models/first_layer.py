"""Weights of a network for RGB images, in one whose images have another number of channels."""

from collections.abc import Mapping

from torch import Tensor

from dmt_ray.config import COLOURS


def for_channels(weight: Tensor, channels: int) -> Tensor:
    """The weights of a first convolution, made for RGB, for images of C channels.

    Channel c starts from the filters of colour c modulo 3; all are divided by C / 3, so that what the convolution gives
    keeps its scale. For one channel the three are summed: it sees grey as the network for RGB does. timm
    (`adapt_input_conv`) and segmentation-models-pytorch (`patch_first_conv`) have the same rule, with which timm adapts
    its own networks here.

    Args:
        weight: ``[D, 3, h, w]``.
        channels: C.

    Returns:
        ``[D, C, h, w]``.
    """
    if channels == 1:
        return weight.sum(dim=1, keepdim=True)
    return weight[:, [c % COLOURS for c in range(channels)]] * (COLOURS / channels)


def fitted(weight: Tensor, place: Tensor) -> Tensor | None:
    """Weights for a place in a network: as they are if they have its shape, adapted if it is a first convolution for
    other channels than red, green and blue; None: they do not fit."""
    if weight.shape == place.shape:
        return weight
    alike = weight.dim() == 4 and weight.shape == (place.shape[0], COLOURS, *place.shape[2:])
    return for_channels(weight, place.shape[1]) if alike else None


def adapted(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a network for RGB, those of its first convolution for the channels of another; `own`: the other's."""
    return {
        name: weight if name not in own or (made := fitted(weight, own[name])) is None else made
        for name, weight in weights.items()
    }
