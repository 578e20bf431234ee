"""SETR: segmentation by a Vision Transformer, the network beside the CNN in RML's Table 5."""

from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from dmt_ray.config import nearest
from dmt_ray.errors import ModelError
from dmt_ray.models.padding import Padding

PATCHES = (2, 4, 8, 16, 32)  # that "pup" can double up to the image's size


class SETR(nn.Module):
    """SETR (Zheng et al. 2021) on a Vision Transformer of timm, without its auxiliary losses.

    Args:
        encoder: Name of timm, such as "vit_small_patch16_224"; `timm.list_models("vit_*")` has them.
        classes: Number of classes K.
        decoder: "naive": a 1 x 1 convolution, and bilinear enlargement to the image's size. "pup", progressive
            upsampling: 3 x 3 convolutions, each followed by an enlargement to twice the size.
        channels: Of the decoder.
        in_channels: Of the images.
        **arguments: Of the transformer: img_size (that its position embedding is made for; for images of other sizes
            it is interpolated), patch_size, embed_dim, depth, num_heads ...
    """

    def __init__(
        self,
        encoder: str,
        *,
        classes: int,
        decoder: Literal["naive", "pup"] = "pup",
        channels: int = 256,
        in_channels: int = 3,
        **arguments: Any,
    ) -> None:
        super().__init__()
        if decoder not in ("naive", "pup"):
            raise ModelError(f"decoder must be 'naive' or 'pup', but got {decoder!r}")
        self.encoder = _transformer(encoder, arguments | {"in_chans": in_channels})
        self._patch = _patch(self.encoder, None if decoder == "naive" else PATCHES)
        self.padding = Padding(self._patch)
        layers = _convolution(self.encoder.embed_dim, channels, 1 if decoder == "naive" else 3)
        if decoder == "pup":
            # The last doubling is that of the logits, which is the same as theirs: a 1 x 1 convolution and a bilinear
            # enlargement can change places.
            for _ in range(PATCHES.index(self._patch)):
                layers += [nn.Upsample(scale_factor=2, mode="bilinear"), *_convolution(channels, channels, 3)]
        self.decoder = nn.Sequential(*layers)
        self.classifier = nn.Conv2d(channels, classes, 1)

    @property
    def after_encoder(self) -> nn.Module:
        """What is given the encoder's features."""
        return self.decoder

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[N, K, H, W]`` of images ``[N, C, H, W]``.

        Raises:
            ModelError: If the side of a patch does not divide the images' sides.
        """
        height, width = images.shape[-2:]
        self.padding.check("SETR on this encoder", height, width)
        tokens = self.encoder.forward_features(images)[:, self.encoder.num_prefix_tokens :]
        grid = tokens.transpose(1, 2).unflatten(2, (height // self._patch, width // self._patch))
        logits: Tensor = self.classifier(self.decoder(grid))
        return F.interpolate(logits, size=(height, width), mode="bilinear")


def _transformer(name: str, arguments: dict[str, Any]) -> Any:
    import timm  # takes longer to import than torch, and few plans need it
    from timm.models import is_model_in_modules

    if not is_model_in_modules(name, ["vision_transformer"]):
        known = timm.list_models(module="vision_transformer")
        raise ModelError(
            f"SETR needs a Vision Transformer of timm such as vit_small_patch16_224, but got {name!r}; "
            + (answer if (answer := nearest(name, known)).startswith("did") else "see timm.list_models('vit_*')")
        )
    # No pooling: then the last norm is of the tokens, and no parameter stands idle.
    return timm.create_model(name, pretrained=False, num_classes=0, global_pool="", dynamic_img_size=True, **arguments)


def _patch(transformer: Any, allowed: tuple[int, ...] | None) -> int:
    height, width = transformer.patch_embed.patch_size
    if height != width or (allowed and height not in allowed):
        sides = f" with a side of {', '.join(map(str, allowed))}" if allowed else ""
        raise ModelError(f"SETR needs square patches{sides}, but got {height} x {width}")
    return int(height)


def _convolution(before: int, after: int, size: int) -> list[nn.Module]:
    return [nn.Conv2d(before, after, size, padding=size // 2, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
