import pytest
import torch

from dmt_ray import models
from dmt_ray.config import Model
from dmt_ray.errors import ModelError

TINY = {"embed_dim": 16, "decoder_intermediate_channels": [8, 8, 8, 8], "decoder_fusion_channels": 8}
DINOV2 = {"embed_dim": 16, "num_heads": 2, "img_size": 56, **{key: TINY[key] for key in TINY if key != "embed_dim"}}


def dpt(encoder: str = "tu-test_vit", **arguments):
    return Model(architecture="DPT", encoder=encoder, arguments=TINY | arguments)


def test_with_patches_of_16_it_is_what_segmentation_models_pytorch_builds():
    """The same weights under the same names from the same random numbers, and the same logits."""
    import segmentation_models_pytorch as smp

    torch.manual_seed(0)
    ours = models.build(dpt(), 5).eval()
    torch.manual_seed(0)
    theirs = smp.DPT("tu-test_vit", encoder_weights=None, classes=5, dynamic_img_size=True, **TINY).eval()
    weights = theirs.state_dict()
    assert ours.state_dict().keys() == weights.keys()
    assert all(torch.equal(value, weights[name]) for name, value in ours.state_dict().items())
    images = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        assert torch.equal(ours(images), theirs(images))


@pytest.mark.parametrize(
    ("encoder", "arguments", "side"),
    [
        pytest.param("tu-vit_small_patch14_dinov2", DINOV2, 28, id="DINOv2"),
        pytest.param("tu-vit_small_patch14_reg4_dinov2", DINOV2, 28, id="DINOv2 with registers"),
        pytest.param("tu-vit_small_patch16_dinov3", {"num_heads": 2}, 32, id="DINOv3"),
        pytest.param("tu-test_vit", {"patch_size": 8}, 32, id="patches of 8"),
        pytest.param(
            "tu-test_vit",
            {"encoder_depth": 3, "decoder_intermediate_channels": [8, 8, 8]},
            16,
            id="three scales, none of them coarser than a patch",
        ),
    ],
)
def test_logits_have_the_size_of_the_image(encoder, arguments, side):
    network = models.build(dpt(encoder, **arguments), 5).eval()
    assert models.padding_of(network) == models.Padding(side)
    for height, width in ((side, 3 * side), (2 * side, 2 * side)):
        with torch.inference_mode():
            assert network(torch.rand(1, 3, height, width)).shape == (1, 5, height, width)


def test_features_of_patches_of_14_get_the_scales_of_those_of_16():
    """4, 2, 1 and 1/2 times the 4 x 6 tokens of an image of 56 x 84 pixels."""
    sizes = []
    network = models.build(dpt("tu-vit_small_patch14_dinov2", **DINOV2), 5).eval()
    for block in network.decoder.reassemble_blocks:
        block.register_forward_hook(lambda *given: sizes.append(tuple(given[-1].shape[-2:])))
    with torch.inference_mode():
        network(torch.rand(1, 3, 56, 84))
    assert sizes == [(16, 24), (8, 12), (4, 6), (2, 3)]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (dpt("tu-convnext_tiny"), "DPT needs a Vision Transformer, .* got 'tu-convnext_tiny'; .* UPerNet, Segformer, "),
        (dpt("resnet18"), "DPT needs an encoder of timm, such as tu-vit_small_patch14_dinov2, but got 'resnet18'"),
        (dpt("vit_small_patch14_dinov2"), r"no encoder 'vit_small_patch14_dinov2'; .* named tu-\.\.\."),
        (dpt("tu-vit_small_patch14_dinov4"), "did you mean 'tu-vit_small_patch14_dinov2'"),
        (dpt(decoder_readout="sum"), "cannot be built: Invalid readout mode: sum"),
        (dpt(decoder_pyramid_channels=64), r"cannot be built: .*decoder_pyramid.* \(model.arguments sets embed_dim, "),
    ],
)
def test_what_cannot_be_built_is_said(model, message):
    with pytest.raises(ModelError, match=message), torch.device("meta"):
        models.build(model, 5)


def test_a_size_that_it_does_not_take_is_refused_with_those_that_it_takes():
    with torch.device("meta"):
        network = models.build(dpt("tu-vit_small_patch14_dinov2", **DINOV2), 5)
        with pytest.raises(ModelError, match="sides 28 divides, but got 112 x 128; 112 or 140 would do for 128"):
            network(torch.empty(1, 3, 112, 128))
