"""Model noise in training: dropout before the last layer, and stochastic depth (RML, Sec. 4.1 and 5.2).

UniMatch drops channels of the encoder's features instead, of some of the images of a pass.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dmt_ray.errors import ModelError
from dmt_ray.models.frozen import encoder_of

BRANCHES = ("drop_path", "drop_path1", "drop_path2")  # of timm's blocks: what their residual branches go through


def classifier(network: nn.Module) -> nn.Module:
    """The layer of a network for segmentation or classification that turns features into logits.

    Its only input are the features, ``[N, C, h, w]``; its first parameter has C as its second side.
    """
    head: Any = getattr(network, "segmentation_head", None)  # of segmentation-models-pytorch
    layer: Any = network.classifier if head is None else [m for m in head.modules() if isinstance(m, nn.Conv2d)][-1]
    assert isinstance(layer, nn.Module)
    return layer


def add_noise(network: nn.Module, *, dropout: float, survival: float) -> None:
    """Let a network forget features and skip residual blocks in training; in eval mode it is what it was.

    The names of its weights stay the same. The random numbers come from torch's global generator, anew for each image.

    RML (Sec. 5.2) has "layer-wise survival probability as 0.8" for the residual blocks of the backbone. That is read
    here as the same chance for each block, the uniform rule of Huang et al. (2016, Sec. 3), not as their
    linear rule, in which only the last block would have 0.8. Where a block survives, its residual branch is divided by
    the chance; Huang et al. multiply it by the chance in testing instead, which comes to the same on average.
    A transformer's block has two residual branches, each with its own chance.

    Args:
        network: One that `build` made; changed in place.
        dropout: Share of the numbers before the last layer that are set to 0, in ``[0, 1]``; 0: none. RML: 0.5.
        survival: Chance of a residual branch to be kept, in ``[0, 1]``; 1: none is skipped. RML: 0.8.

    Raises:
        ValueError: If a share is none.
        ModelError: If branches are to be skipped, but the encoder has no residual blocks of a kind known here.
    """
    if not (0 <= dropout <= 1 and 0 <= survival <= 1):
        raise ValueError(f"dropout and survival must lie between 0 and 1, but got {dropout} and {survival}")
    if dropout:
        classifier(network).register_forward_pre_hook(partial(_forget, dropout))
    if survival < 1 and not _skip(getattr(network, "encoder", None), survival):
        raise ModelError(
            f"stochastic depth needs an encoder with residual blocks: a ResNet, or a network of timm whose blocks have "
            f"a drop_path; {type(network).__name__} has none here. Use another encoder, or a survival of 1."
        )


def _forget(share: float, layer: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (F.dropout(given[0], share, layer.training),)


def _skip(backbone: nn.Module | None, survival: float) -> int:
    """Add stochastic depth to a backbone; returns the number of its residual branches."""
    if backbone is None:
        return 0
    from timm.layers import DropPath  # these take longer to import than torch, and few plans need them
    from torchvision.models.resnet import BasicBlock, Bottleneck

    branches = 0
    for module in list(backbone.modules()):
        if isinstance(module, BasicBlock | Bottleneck):
            last: Any = module.bn3 if isinstance(module, Bottleneck) else module.bn2
            last.register_forward_hook(partial(_survive, survival))
            branches += 1
        for name in BRANCHES:
            if isinstance(getattr(module, name, 0), nn.Identity | DropPath | None):
                setattr(module, name, DropPath(1 - survival).train(module.training))
                branches += 1
    return branches


def _survive(survival: float, layer: nn.Module, _: tuple[Tensor, ...], branch: Tensor) -> Tensor:
    from torchvision.ops import stochastic_depth

    kept: Tensor = stochastic_depth(branch, 1 - survival, "row", layer.training)
    return kept


CHANNELS_DROPPED = 0.5  # of the encoder's (UniMatch, UniMatch V2)
Masks = Callable[[int, torch.device], Tensor]  # from a number of channels C to factors, float32 [N, C]


class ChannelDropout:
    """Multiplies the channels of what a network's encoder gives to its decoder, while it is told to.

    A Vision Transformer's class token, which some decoders read as well, stays as it is.

    Args:
        network: One that `build` made; changed in place. The names of its weights stay the same.

    Raises:
        ModelError: If the network has no encoder.
    """

    def __init__(self, network: nn.Module) -> None:
        encoder = encoder_of(network)
        if encoder is None:
            raise ModelError(
                f"feature perturbation is for a network on an encoder, but {type(network).__name__} has none. Use "
                "another architecture, such as FPN, or a method without it, such as fixmatch"
            )
        self._network, self._reached = type(network).__name__, False
        self._masks: Masks | None = None
        # Networks of ours call parts of their encoders.
        decoder = getattr(network, "after_encoder", None)
        if decoder is None:
            encoder.register_forward_hook(lambda _, given, features: self._dropped(features, given[0]))
        else:
            decoder.register_forward_pre_hook(lambda _, given: (self._dropped(given[0], None),))

    @contextmanager
    def during(self, masks: Masks) -> Iterator[None]:
        """Multiply by these in the block, a pass; they are asked for once for each of the encoder's feature maps.

        Raises:
            ModelError: If no feature map came by: the network calls parts of its encoder and does not say what it
                gives their output to.
        """
        self._masks, self._reached = masks, False
        try:
            yield
        finally:
            self._masks = None
        if not self._reached:
            raise ModelError(
                f"the features of {self._network}'s encoder cannot be perturbed: it calls parts of its encoder, and "
                "has no `after_encoder`. Use another architecture, such as FPN, or another method, such as fixmatch"
            )

    def _dropped(self, features: Any, images: Tensor | None) -> Any:
        if self._masks is None:
            return features
        if isinstance(features, list | tuple):
            return type(features)(self._dropped(part, images) for part in features)
        if not isinstance(features, Tensor) or features.dim() != 4 or features is images:
            return features  # some encoders give the images on, which are no features
        self._reached = True
        masks = self._masks(features.shape[1], features.device).to(features.dtype)
        return features * masks.unsqueeze(2).unsqueeze(3)


def stream_masks(whole: int, perturbed: int) -> Masks:
    """Dropout of whole channels in the last images of a pass (UniMatch), anew for each feature map.

    Args:
        whole: The number of images before them, which keep their features.
        perturbed: The number of images that lose each channel with a chance of one half.
    """

    def masks(channels: int, device: torch.device) -> Tensor:
        ones = torch.ones(whole, channels, device=device)
        return torch.cat([ones, F.dropout(torch.ones(perturbed, channels, device=device), CHANNELS_DROPPED)])

    return masks


def complementary_masks(whole: int, pairs: int) -> Masks:
    """Complementary dropout (UniMatch V2): what one view of an image loses, the other keeps, twice as strong.

    Half of the pairs, drawn anew in each pass, keep all (the authors' code). Feature maps with the same number of
    channels lose the same ones.

    Args:
        whole: The number of images before the first views, which keep their features.
        pairs: The number of images of which there are two views: all first ones, then all second ones.
    """

    @cache
    def untouched(device: torch.device) -> Tensor:
        return (torch.randperm(pairs, device=device) < pairs // 2).unsqueeze(1)

    @cache
    def masks(channels: int, device: torch.device) -> Tensor:
        kept = F.dropout(torch.ones(pairs, channels, device=device), CHANNELS_DROPPED)
        views = [torch.where(untouched(device), 1.0, factors) for factors in (kept, 2 - kept)]
        return torch.cat([torch.ones(whole, channels, device=device), *views])

    return masks
