"""A linear head on an encoder's last features: how the field evaluates self-supervised encoders."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from dmt_ray.errors import ModelError
from dmt_ray.models.padding import Padding
from dmt_ray.models.timm_encoders import any_size, timm_name

DEVIATION = 0.01  # of the classifier's initial weights, as in DINOv2's code


class LinearHead(nn.Module):
    """The linear evaluation of DINOv2 (Oquab et al. 2024, Sec. 7.4) on any network of timm.

    The last features, those of a Vision Transformer without its class and register tokens and after its last norm, go
    through BatchNorm (their code has it) and a 1 x 1 convolution; the logits are bilinearly enlarged.

    Args:
        encoder: Name of timm's network with "tu-" in front, such as "tu-vit_small_patch14_dinov2".
        classes: Number of classes K.
        in_channels: Of the images.
        encoder_weights: Whether timm loads initial weights; see `pretrained.arguments_of`.
        **arguments: Of the network: img_size, patch_size, embed_dim, depth, num_heads ... of a transformer.
    """

    def __init__(
        self,
        encoder: str,
        *,
        classes: int,
        in_channels: int = 3,
        encoder_weights: bool | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__()
        import timm  # takes longer to import than torch, and few plans need it

        name = timm_name(encoder, "LinearHead")
        chosen = {"in_chans": in_channels} | any_size(name) | arguments
        network: Any = timm.create_model(name, pretrained=bool(encoder_weights), **chosen)
        if not hasattr(network, "prune_intermediate_layers"):
            raise ModelError(f"timm gives no features of {encoder!r}; LinearHead needs another encoder")
        network.prune_intermediate_layers(1)  # what comes after the last features would stand idle
        self.encoder = network
        channels, stride = (int(network.feature_info[-1][key]) for key in ("num_chs", "reduction"))
        self.padding = Padding(stride)
        self.norm = nn.BatchNorm2d(channels)
        self.classifier = nn.Conv2d(channels, classes, 1)
        nn.init.normal_(self.classifier.weight, std=DEVIATION)
        nn.init.zeros_(self.classifier.get_parameter("bias"))

    @property
    def after_encoder(self) -> nn.Module:
        """What is given the encoder's features."""
        return self.norm

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[N, K, H, W]`` of images ``[N, C, H, W]``.

        Raises:
            ModelError: If the encoder's stride does not divide the images' sides.
        """
        height, width = images.shape[-2:]
        self.padding.check("LinearHead on this encoder", height, width)
        features = self.encoder.forward_intermediates(images, indices=1, norm=True, intermediates_only=True)[-1]
        logits: Tensor = self.classifier(self.norm(features))
        return F.interpolate(logits, size=(height, width), mode="bilinear")
