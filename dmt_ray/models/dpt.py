"""DPT: a decoder of several scales on a Vision Transformer, as on DINOv2 in UniMatch V2."""

import math
from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from dmt_ray.errors import ModelError
from dmt_ray.models.padding import Padding
from dmt_ray.models.timm_encoders import any_size, is_transformer, timm_name


class DPT(nn.Module):
    """DPT (Ranftl et al. 2021), made of the parts that segmentation-models-pytorch has, for patches of any size.

    Its features have strides of 4, 8, 16 and 32 pixels where patches have 16. Those of DINOv2 have 14, of which these
    are no multiples: there, as in UniMatch V2 (Yang et al. 2025), the decoder works as with the nearest power of two,
    and the logits end at the images' size.

    Args:
        encoder: A Vision Transformer of timm, such as "tu-vit_small_patch14_dinov2".
        classes: Number of classes K.
        in_channels: Of the images.
        encoder_weights: Whether timm loads initial weights; see `pretrained.arguments_of`.
        encoder_depth: Number of the transformer's blocks whose output is used.
        encoder_output_indices: Which blocks these are, from 0; None: at even distances, with the last among them.
        decoder_readout: What becomes of the class token: "cat", "add" or "ignore" (Ranftl et al., Sec. 3.1).
        decoder_intermediate_channels: Of the features at each scale, from fine to coarse.
        decoder_fusion_channels: Of the features that are fused.
        **arguments: Of the transformer: img_size (that its position embedding is made for; for images of other sizes
            it is interpolated), patch_size, embed_dim, num_heads ...
    """

    def __init__(
        self,
        encoder: str,
        *,
        classes: int,
        in_channels: int = 3,
        encoder_weights: bool | None = None,
        encoder_depth: int = 4,
        encoder_output_indices: list[int] | None = None,
        decoder_readout: Literal["cat", "add", "ignore"] = "cat",
        decoder_intermediate_channels: Sequence[int] = (256, 512, 1024, 1024),
        decoder_fusion_channels: int = 256,
        **arguments: Any,
    ) -> None:
        super().__init__()
        # These take longer to import than torch, and few plans need them.
        from segmentation_models_pytorch.base.initialization import initialize_decoder, initialize_head
        from segmentation_models_pytorch.decoders.dpt.decoder import DPTDecoder, DPTSegmentationHead
        from segmentation_models_pytorch.encoders.timm_vit import TimmViTEncoder

        name = timm_name(encoder, "DPT")
        if not is_transformer(name):
            raise ModelError(
                f"DPT needs a Vision Transformer, such as tu-vit_small_patch14_dinov2, but got {encoder!r}; "
                "for encoders of other kinds there are UPerNet, Segformer, FPN and LinearHead"
            )
        self.encoder = TimmViTEncoder(
            name,
            pretrained=bool(encoder_weights),
            depth=encoder_depth,
            output_indices=encoder_output_indices,
            in_channels=in_channels,
            **any_size(name) | arguments,
        )
        patch = int(self.encoder.output_stride)
        power = 2 ** round(math.log2(patch))
        self.decoder = DPTDecoder(
            encoder_out_channels=self.encoder.out_channels,
            encoder_output_strides=[power] * encoder_depth,
            encoder_has_prefix_tokens=self.encoder.has_prefix_tokens,
            readout=decoder_readout,
            intermediate_channels=decoder_intermediate_channels,
            fusion_channels=decoder_fusion_channels,
        )
        self.segmentation_head = DPTSegmentationHead(decoder_fusion_channels, classes)
        initialize_decoder(self.decoder)
        initialize_head(self.segmentation_head)
        coarsest = 2 ** (encoder_depth + 1)
        self.padding = Padding(patch * max(1, coarsest // power))

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[N, K, H, W]`` of images ``[N, C, H, W]``, bilinearly enlarged with aligned corners.

        Raises:
            ModelError: If the images' sides are no multiples of the coarsest features' stride: twice the side of a
                patch of 14 or 16 pixels.
        """
        height, width = images.shape[-2:]
        self.padding.check("DPT on this encoder", height, width)
        # Without the head's own enlargement, which is to twice the size: from patches of 14 pixels to another one.
        logits = self.segmentation_head.head(self.decoder(*self.encoder(images)))
        return F.interpolate(logits, size=(height, width), mode="bilinear", align_corners=True)
