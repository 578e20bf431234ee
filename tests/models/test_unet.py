import pytest
import torch

from dmt_ray import models
from dmt_ray.config import Model
from dmt_ray.errors import ModelError

UNET = Model(architecture="UNet", encoder="none")


def test_the_output_has_the_size_of_the_input():
    network = models.build(UNET.evolve(arguments={"base": 4}), 3)
    assert network(torch.rand(2, 3, 48, 32)).shape == (2, 3, 48, 32)


def test_the_levels_have_64_to_1024_channels():
    with torch.device("meta"):
        network = models.build(UNET, 2)
    assert [level[0].out_channels for level in network.contracting] == [64, 128, 256, 512, 1024]
    assert [level[0].in_channels for level in network.expanding] == [1024, 512, 256, 128]


def test_the_lowest_level_sees_a_sixteenth_of_the_side():
    seen = []
    network = models.build(UNET.evolve(arguments={"base": 2}), 2)
    network.contracting[4].register_forward_hook(lambda _, given, made: seen.append(tuple(made.shape)))
    network(torch.rand(2, 3, 32, 64))
    assert seen == [(2, 32, 2, 4)]


def test_every_parameter_learns():
    network = models.build(UNET.evolve(arguments={"base": 2}), 2)
    network(torch.rand(2, 3, 32, 32)).square().mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_a_size_that_16_does_not_divide_is_refused():
    network = models.build(UNET.evolve(arguments={"base": 2}), 2)
    with pytest.raises(ModelError, match="whose sides 16 divides, but got 24 x 32"):
        network(torch.rand(1, 3, 24, 32))


def test_who_meant_the_u_net_on_an_encoder_is_told_its_name():
    with pytest.raises(ModelError, match=r"got 'resnet18'; set model.encoder to 'none'; .* is called 'Unet'"):
        models.build(UNET.evolve(encoder="resnet18"), 2)
