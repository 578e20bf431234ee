"""The U-Net of its own paper, trained from random weights: the network of the Pet study (Sec. 3)."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dmt_ray.errors import ModelError
from dmt_ray.models.padding import Padding

LEVELS = 5
STRIDE = 2 ** (LEVELS - 1)


class UNet(nn.Module):
    """U-Net (Ronneberger et al. 2015) whose output has the size of its input.

    As in their Fig. 1, but that convolutions are padded, where theirs lose a border of 92 pixels, and BatchNorm
    follows each; their dropout in the lowest level is left out.

    Args:
        classes: Number of classes K.
        base: Channels of the first level; each level below has twice as many. 64 gives 64 ... 1024.
        in_channels: Of the images.
    """

    padding = Padding(STRIDE)

    def __init__(self, *, classes: int, base: int = 64, in_channels: int = 3) -> None:
        super().__init__()
        if base < 1:
            raise ModelError(f"base must be a number of channels, but got {base}")
        widths = [base * 2**level for level in range(LEVELS)]
        upwards = list(reversed(widths))
        self.contracting = nn.ModuleList(_twice(before, after) for before, after in pairwise([in_channels, *widths]))
        self.enlarging = nn.ModuleList(nn.ConvTranspose2d(low, high, 2, stride=2) for low, high in pairwise(upwards))
        self.expanding = nn.ModuleList(_twice(2 * high, high) for high in upwards[1:])
        self.classifier = nn.Conv2d(base, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[N, K, H, W]`` of images ``[N, C, H, W]``.

        Raises:
            ModelError: If 16 does not divide the images' sides.
        """
        height, width = images.shape[-2:]
        self.padding.check("UNet", height, width)
        levels = [self.contracting[0](images)]
        for convolutions in self.contracting[1:]:
            levels.append(convolutions(F.max_pool2d(levels[-1], 2)))
        x = levels.pop()
        for enlarge, convolutions in zip(self.enlarging, self.expanding):
            x = convolutions(torch.cat([levels.pop(), enlarge(x)], dim=1))
        logits: Tensor = self.classifier(x)
        return logits


def _twice(before: int, after: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (before, after):
        convolution = nn.Conv2d(channels, after, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")  # sqrt(2 / N), their Sec. 3
        layers += [convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
