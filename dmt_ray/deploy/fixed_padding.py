"""Convolutions that pad by the size of what they see, as networks from TensorFlow do, with fixed padding."""

import copy
import math
import sys
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class _Fixed(nn.Module):
    """A convolution behind fixed padding: left, right, top, bottom."""

    def __init__(self, convolution: nn.Conv2d, padding: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.convolution, self.padding = convolution, padding

    def forward(self, x: Tensor) -> Tensor:
        """What the convolution gives for images of the sides that the network takes."""
        layer = self.convolution
        padded = F.pad(x, self.padding)
        return F.conv2d(padded, layer.weight, layer.bias, layer.stride, 0, layer.dilation, layer.groups)


def with_fixed_padding(network: nn.Module, images: Tensor) -> nn.Module:
    """A copy of a network in which timm's `Conv2dSame` layers pad by constants; the network itself if it has none.

    Such a layer of kernel k, stride s and dilation d pads a side of n pixels by ``(ceil(n / s) - 1) s + (k - 1) d + 1 -
    n``. Wherever s divides n that is ``(k - 1) d + 1 - s``, so it is the same for all images whose sides are the
    multiples that the network takes. Tracers that work the formula out layer by layer need minutes.

    Args:
        network: In eval mode.
        images: Of sides that the network takes.
    """
    layers = sys.modules.get("timm.layers")
    kind: Any = getattr(layers, "Conv2dSame", None)
    if kind is None or not any(isinstance(module, kind) for module in network.modules()):
        return network
    copied, seen = copy.deepcopy(network), dict[nn.Module, tuple[int, ...]]()
    hooks = [
        module.register_forward_pre_hook(lambda layer, given: seen.update({layer: tuple(given[0].shape[-2:])}))
        for module in copied.modules()
        if isinstance(module, kind)
    ]
    with torch.no_grad():
        copied(images)
    for hook in hooks:
        hook.remove()
    for name, module in list(copied.named_modules()):
        if isinstance(module, kind) and module in seen:
            divisible = all(side % step == 0 for side, step in zip(seen[module], module.stride, strict=True))
            if not divisible:
                return network
            parent, _, last = name.rpartition(".")
            setattr(copied.get_submodule(parent), last, _Fixed(module, _padding(module, seen[module])))
    return copied


def _padding(layer: nn.Conv2d, size: tuple[int, ...]) -> tuple[int, int, int, int]:
    totals = [
        max((math.ceil(side / step) - 1) * step + (kernel - 1) * dilation + 1 - side, 0)
        for side, step, kernel, dilation in zip(size, layer.stride, layer.kernel_size, layer.dilation, strict=True)
    ]
    down, across = totals
    return across // 2, across - across // 2, down // 2, down - down // 2
