"""Wide residual networks for small images, the network of DMT's classification experiments."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from dmt_ray.errors import ModelError
from dmt_ray.models.padding import Padding

STEM = 16
WIDTHS = (16, 32, 64)  # of the three groups, times `width`


class WideResNet(nn.Module):
    """WRN-depth-width with pre-activation blocks (Zagoruyko & Komodakis 2016); WRN-28-2 in DMT, Sec. 5.2.1.

    ReLU, He's initialisation by outputs and a momentum of 0.1 in BatchNorm, as Zagoruyko & Komodakis and the authors
    of DMT have it. (MixMatch, which DMT follows, has LeakyReLU 0.1 and a momentum of 0.001, which a short training
    could not follow.)

    Args:
        classes: Number of classes K.
        depth: Number of convolutions on the longest way, 6 n + 4: each of the three groups has n blocks.
        width: Factor of the channels 16, 32, 64 of the groups.
        in_channels: Of the images.
    """

    padding = Padding(1)  # none: it would be a part of the image

    def __init__(self, *, classes: int, depth: int = 28, width: int = 2, in_channels: int = 3) -> None:
        super().__init__()
        blocks, rest = divmod(depth - 4, 6)
        if blocks < 1 or rest or width < 1:
            raise ModelError(
                f"a WideResNet has a depth of 10, 16, 22, 28, ... and a width of 1 or more, but got {depth} and {width}"
            )
        self.stem = nn.Conv2d(in_channels, STEM, 3, padding=1, bias=False)
        widths = [STEM, *(width * channels for channels in WIDTHS)]
        strides = (1, 2, 2)
        self.groups = nn.Sequential(*(_group(*ends, blocks, stride) for ends, stride in zip(pairwise(widths), strides)))
        self.norm = nn.BatchNorm2d(widths[-1])
        self.classifier = nn.Conv2d(widths[-1], classes, 1)  # of one pixel: a linear layer
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module is not self.classifier:
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
        nn.init.zeros_(self.classifier.get_parameter("bias"))

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[N, K, 1, 1]`` of images ``[N, C, H, W]`` of any size from 4 x 4 on."""
        x = F.relu(self.norm(self.groups(self.stem(images))))
        logits: Tensor = self.classifier(F.adaptive_avg_pool2d(x, 1))
        return logits


def _group(before: int, after: int, blocks: int, stride: int) -> nn.Sequential:
    return nn.Sequential(_Block(before, after, stride), *(_Block(after, after, 1) for _ in range(blocks - 1)))


class _Block(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(before, after, 1, stride, bias=False) if before != after else None

    def forward(self, x: Tensor) -> Tensor:
        activated = F.relu(self.norm1(x))
        residual: Tensor = self.conv2(F.relu(self.norm2(self.conv1(activated))))
        return residual + (x if self.shortcut is None else self.shortcut(activated))
