"""Networks take any number of channels, and weights for RGB are adapted to it."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from dmt_ray import models
from dmt_ray.config import Model
from dmt_ray.errors import ModelError
from dmt_ray.models.first_layer import for_channels

WEIGHT = torch.tensor([1.0, 2.0, 6.0]).view(1, 3, 1, 1)


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        (1, [9.0]),  # the sum: grey gives what it gave in three channels
        (2, [1.5, 3.0]),
        (3, [1.0, 2.0, 6.0]),
        (4, [0.75, 1.5, 4.5, 0.75]),
        (6, [0.5, 1.0, 3.0, 0.5, 1.0, 3.0]),
    ],
)
def test_filters_repeat_and_keep_their_scale(channels, expected):
    assert for_channels(WEIGHT, channels).flatten().tolist() == expected


@pytest.mark.parametrize("channels", [1, 2, 4, 7])
def test_the_rule_is_that_of_segmentation_models_pytorch_and_of_timm(channels):
    from segmentation_models_pytorch.encoders._utils import patch_first_conv
    from timm.models import adapt_input_conv

    convolution = nn.Conv2d(3, 5, 3)
    made = for_channels(convolution.weight.detach(), channels)
    torch.testing.assert_close(adapt_input_conv(channels, convolution.weight.detach()), made)
    patch_first_conv(convolution, channels)
    torch.testing.assert_close(convolution.weight.detach(), made)


SMALL = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2, "channels": 8}
NETWORKS = {
    "UNet": Model(architecture="UNet", encoder="none", arguments={"base": 2}),
    "WideResNet": Model(architecture="WideResNet", encoder="none", arguments={"depth": 10, "width": 1}),
    "DeepLabV2": Model(architecture="DeepLabV2", encoder="resnet50"),
    "SETR": Model(architecture="SETR", encoder="vit_tiny_patch16_224", arguments=SMALL),
    "DPT": Model(architecture="DPT", encoder="tu-test_vit", arguments={"img_size": 64}),
    "LinearHead": Model(architecture="LinearHead", encoder="tu-test_resnet"),
    "timm's encoder": Model(encoder="tu-test_resnet", arguments={"encoder_depth": 4, "decoder_channels": [8] * 4}),
    "smp's encoder": Model(architecture="FPN", encoder="resnet18"),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("channels", [1, 5])
def test_a_network_takes_images_of_any_number_of_channels(name, channels):
    with torch.device("meta"):
        network = models.build(NETWORKS[name].evolve(channels=channels), 3).eval()
        logits = network(torch.empty(2, channels, 64, 64))
    assert logits.shape[:2] == (2, 3)
    assert tuple(logits.shape[2:]) in ((64, 64), (1, 1))


def test_arguments_that_contradict_the_data_are_refused():
    with pytest.raises(ModelError, match="sets in_channels to 4, but the images have 3 channels"):
        models.build(Model(encoder="resnet18", arguments={"in_channels": 4}), 3)


def test_a_file_of_weights_for_rgb_is_adapted(tmp_path):
    torch.manual_seed(0)
    weights = models.build(NETWORKS["timm's encoder"], 3).state_dict()
    save_file({name: value.contiguous() for name, value in weights.items()}, tmp_path / "w.safetensors")
    model = NETWORKS["timm's encoder"].evolve(channels=4, weights_file=str(tmp_path / "w.safetensors"))
    taken = models.build(model, 3).state_dict()
    (first,) = [name for name in weights if weights[name].shape != taken[name].shape]
    assert torch.equal(taken[first], for_channels(weights[first], 4))
    assert all(torch.equal(taken[name], weights[name]) for name in weights.keys() - {first})
