"""Networks of timm as encoders of our own networks, by the names that segmentation-models-pytorch has for them."""

from typing import Any

from dmt_ray.errors import ModelError

TIMM = "tu-"  # in front of timm's names
TRANSFORMERS = ("vision_transformer", "eva", "deit")  # timm's modules with ViTs of one stride; DINOv3's are in "eva"


def timm_name(encoder: str, architecture: str) -> str:
    """timm's name of an encoder.

    Raises:
        ModelError: If it is not one of timm's.
    """
    if not encoder.startswith(TIMM):
        raise ModelError(
            f"{architecture} needs an encoder of timm, such as tu-vit_small_patch14_dinov2, but got {encoder!r}"
        )
    return encoder.removeprefix(TIMM)


def is_transformer(name: str) -> bool:
    """Whether a network of timm is a Vision Transformer: all of its features have the stride of its patches."""
    from timm.models import is_model_in_modules  # takes longer to import than torch, and few plans need it

    return bool(is_model_in_modules(name, TRANSFORMERS))


def any_size(name: str) -> dict[str, Any]:
    """What timm has to be given so that a network takes images of any size: a ViT interpolates its position
    embedding."""
    return {"dynamic_img_size": True} if is_transformer(name) else {}
