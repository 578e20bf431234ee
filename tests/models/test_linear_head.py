import pytest
import torch
from torch.nn import functional as F

from dmt_ray import models
from dmt_ray.config import Model
from dmt_ray.errors import ModelError


def linear(encoder: str, **arguments):
    return Model(architecture="LinearHead", encoder=encoder, arguments=arguments)


NETWORKS = [
    pytest.param(linear("tu-test_vit", embed_dim=16), 16, id="ViT"),
    pytest.param(
        linear("tu-vit_small_patch14_dinov2", embed_dim=16, num_heads=2, depth=2, img_size=56), 14, id="DINOv2"
    ),
    pytest.param(linear("tu-vit_small_patch16_dinov3", embed_dim=16, num_heads=2, depth=2), 16, id="DINOv3"),
    pytest.param(linear("tu-test_convnext"), 32, id="ConvNeXt"),
    pytest.param(linear("tu-test_efficientnet"), 32, id="EfficientNet"),
    pytest.param(linear("tu-test_resnet"), 32, id="ResNet"),
]


@pytest.mark.parametrize(("model", "stride"), NETWORKS)
def test_logits_have_the_size_of_the_image_and_every_parameter_learns(model, stride):
    network = models.build(model, 5)
    assert models.padding_of(network) == models.Padding(stride)
    height, width = 2 * stride, 3 * stride
    logits = network(torch.rand(2, 3, height, width))
    assert logits.shape == (2, 5, height, width)
    F.cross_entropy(logits, torch.zeros(2, height, width).long()).backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


def test_its_features_are_a_transformer_s_patch_tokens_behind_the_last_norm():
    network = models.build(linear("tu-vit_small_patch14_reg4_dinov2", embed_dim=16, num_heads=2, depth=2), 5).eval()
    images, seen = torch.rand(1, 3, 28, 42), []
    network.norm.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.inference_mode():
        network(images)
        tokens = network.encoder.forward_features(images)[:, 5:]  # a class token and four registers before them
    torch.testing.assert_close(seen[0], tokens.transpose(1, 2).unflatten(2, (2, 3)))


def test_it_is_linear_in_the_features_when_it_does_not_train():
    network = models.build(linear("tu-test_vit"), 3).eval()
    network.norm.running_mean.normal_()
    head = torch.nn.Sequential(network.norm, network.classifier)
    a, b, zero = torch.randn(1, 64, 2, 2), torch.randn(1, 64, 2, 2), torch.zeros(1, 64, 2, 2)
    with torch.inference_mode():
        torch.testing.assert_close(head(a + b) - head(zero), head(a) + head(b) - 2 * head(zero), atol=1e-6, rtol=1e-4)


def test_a_frozen_encoder_keeps_its_weights_and_its_mode():
    network = models.build(linear("tu-test_resnet").evolve(frozen=True), 5)
    models.train_mode(network)
    assert not network.encoder.training
    assert network.norm.training
    learning = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert learning == {"norm.weight", "norm.bias", "classifier.weight", "classifier.bias"}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (linear("resnet18"), "LinearHead needs an encoder of timm, .* but got 'resnet18'"),
        (linear("tu-resnet19"), "timm has no network for encoder 'tu-resnet19'; did you mean 'tu-resnet"),
        (linear("tu-test_vit", channels=3), r"cannot be built: .*'channels' \(model.arguments sets channels\)"),
    ],
)
def test_what_cannot_be_built_is_said(model, message):
    with pytest.raises(ModelError, match=message), torch.device("meta"):
        models.build(model, 5)


def test_a_size_that_the_stride_does_not_divide_is_refused():
    with torch.device("meta"):
        network = models.build(linear("tu-test_vit"), 5)
        with pytest.raises(ModelError, match="whose sides 16 divides, but got 8 x 32; 16 would do for 8"):
            network(torch.empty(1, 3, 8, 32))
