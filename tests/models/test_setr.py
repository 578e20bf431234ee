import pytest
import torch

from dmt_ray import models
from dmt_ray.config import Model
from dmt_ray.errors import ModelError

SMALL = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2, "channels": 8}


def setr(**arguments):
    return Model(architecture="SETR", encoder="vit_tiny_patch16_224", arguments=SMALL | arguments)


@pytest.mark.parametrize("decoder", ["naive", "pup"])
@pytest.mark.parametrize("size", [(32, 32), (64, 32), (96, 160)])
def test_logits_have_the_size_of_the_image_whatever_it_was_built_for(decoder, size):
    network = models.build(setr(decoder=decoder), 5).eval()
    with torch.inference_mode():
        assert network(torch.rand(2, 3, *size)).shape == (2, 5, *size)


@pytest.mark.parametrize(("patch", "doublings"), [(2, 0), (4, 1), (8, 2), (16, 3)])
def test_progressive_upsampling_leaves_the_last_doubling_to_the_logits(patch, doublings):
    sides = []
    with torch.device("meta"):
        network = models.build(setr(patch_size=patch), 5)
        network.classifier.register_forward_pre_hook(lambda _, given: sides.append(given[0].shape[-1]))
        network(torch.empty(1, 3, 64, 64))
    assert sum(isinstance(layer, torch.nn.Upsample) for layer in network.decoder) == doublings
    assert sides == [32]


def test_a_last_layer_before_an_enlargement_is_the_same_as_behind_it():
    classifier, enlarge = torch.nn.Conv2d(4, 3, 1), torch.nn.Upsample(scale_factor=2, mode="bilinear")
    features = torch.randn(2, 4, 5, 7)
    assert torch.allclose(enlarge(classifier(features)), classifier(enlarge(features)), atol=1e-6)


@pytest.mark.parametrize("decoder", ["naive", "pup"])
def test_every_parameter_learns(decoder):
    network = models.build(setr(decoder=decoder), 5)
    torch.nn.functional.cross_entropy(network(torch.rand(2, 3, 32, 32)), torch.zeros(2, 32, 32).long()).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_patches_lie_where_they_lie_in_the_image():
    """A change in the image's upper right corner changes the tokens there most."""
    network = models.build(setr(decoder="naive"), 5).eval()
    grids = []
    network.decoder.register_forward_pre_hook(lambda _, given: grids.append(given[0]))
    image = torch.zeros(1, 3, 16, 32)
    changed = image.clone()
    changed[..., :8, 24:] = torch.rand(3, 8, 8)
    with torch.inference_mode():
        network(image), network(changed)
    difference = (grids[0] - grids[1]).abs().sum(dim=(0, 1))
    assert difference.shape == (2, 4)
    assert difference.argmax() == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": "resnet18"}, "needs a Vision Transformer of timm .* got 'resnet18'"),
        ({"encoder": "vit_tiny_patch16_225"}, "did you mean 'vit_tiny_patch16_224'"),
        ({"arguments": SMALL | {"decoder": "mla"}}, "decoder must be 'naive' or 'pup', but got 'mla'"),
        ({"arguments": SMALL | {"patch_size": 14, "img_size": 28}}, "side of 2, 4, 8, 16, 32, but got 14 x 14"),
        ({"arguments": SMALL | {"heads": 3}}, "cannot be built: .*heads"),
        ({"encoder_weights": "imagenet"}, "downloads nothing"),
    ],
)
def test_what_cannot_be_built_is_said(changes, message):
    with pytest.raises(ModelError, match=message), torch.device("meta"):
        models.build(setr().evolve(**changes), 5)


def test_a_size_that_the_patch_does_not_divide_is_refused():
    with torch.device("meta"):
        network = models.build(setr(), 5)
        with pytest.raises(ModelError, match="whose sides 8 divides, but got 32 x 36"):
            network(torch.empty(1, 3, 32, 36))
