"""DeepLab-v2 on a dilated ResNet, the network of DMT's segmentation experiments."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dmt_ray.config import COLOURS
from dmt_ray.errors import ModelError
from dmt_ray.models.padding import Padding

ENCODERS = ("resnet50", "resnet101")
DILATIONS = (6, 12, 18, 24)
STRIDE = 8


class DeepLabV2(nn.Module):
    """DeepLab-v2 (Chen et al. 2017) at output stride 8.

    Its logits are enlarged with aligned corners, which leaves each where it was computed if the image's sides are
    8 k + 1 (as the authors' crops of 321 and images of 505 pixels are). Other images are continued to such sides by
    their mean colour, and the logits cut: aligned corners alone would move them by up to 7 pixels
    (docs/decisions/0038-whole-images-and-their-padding.md).

    Args:
        encoder: "resnet50" or "resnet101" of torchvision (the stride sits in the 3 x 3 convolution, "v1.5").
        classes: Number of classes K.
        aspp: "full" sums the four branches of dilation 6, 12, 18, 24; "paper" has the first two only, which is what
            the authors' code sums, and with it all published DMT numbers. (Theirs keeps the other two, which get no
            gradient; here no parameter stands idle.)
        in_channels: Of the images.
    """

    padding = Padding(STRIDE, 1)

    def __init__(
        self,
        encoder: str = "resnet101",
        *,
        classes: int,
        aspp: Literal["paper", "full"] = "paper",
        in_channels: int = COLOURS,
    ) -> None:
        super().__init__()
        if encoder not in ENCODERS:
            raise ModelError(f"DeepLabV2 needs an encoder of {', '.join(ENCODERS)}, but got {encoder!r}")
        if aspp not in ("paper", "full"):
            raise ModelError(f"aspp must be 'paper' or 'full', but got {aspp!r}")
        from torchvision import models  # takes longer to import than torch, and few plans need it

        resnet = getattr(models, encoder)(weights=None, replace_stride_with_dilation=[False, True, True])
        del resnet.avgpool, resnet.fc
        if in_channels != COLOURS:
            resnet.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
            nn.init.kaiming_normal_(resnet.conv1.weight, mode="fan_out", nonlinearity="relu")  # as torchvision does
        self.encoder = resnet
        dilations = DILATIONS[:2] if aspp == "paper" else DILATIONS
        self.branches = _Sum(nn.Conv2d(2048, classes, 3, padding=d, dilation=d) for d in dilations)
        for branch in self.branches:
            nn.init.normal_(branch.get_parameter("weight"), std=0.01)

    @property
    def classifier(self) -> nn.Module:
        """From features to logits; see `models.classifier`."""
        return self.branches

    @property
    def after_encoder(self) -> nn.Module:
        """What is given the encoder's features."""
        return self.branches

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[N, K, H, W]`` of images ``[N, C, H, W]``, bilinearly enlarged to the images' size."""
        e, (height, width) = self.encoder, images.shape[-2:]
        padded = F.pad(images, self.padding.of(height, width))
        x = e.maxpool(e.relu(e.bn1(e.conv1(padded))))
        x = e.layer4(e.layer3(e.layer2(e.layer1(x))))
        logits = F.interpolate(self.branches(x), size=padded.shape[-2:], mode="bilinear", align_corners=True)
        return logits[..., :height, :width]


class _Sum(nn.ModuleList):
    """Layers whose outputs are summed."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([layer(x) for layer in self]).sum(0)
