import pytest
import torch

from dmt_ray import models
from dmt_ray.config import Model
from dmt_ray.errors import ModelError

WRN = Model(architecture="WideResNet", encoder="none")


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_wrn_28_2_has_the_parameters_that_are_counted_by_hand():
    def convolution(before, after):
        return 9 * before * after

    def group(before, after):
        first = 2 * before + convolution(before, after) + 2 * after + convolution(after, after) + before * after
        return first + 3 * (2 * after + convolution(after, after) + 2 * after + convolution(after, after))

    by_hand = convolution(3, 16) + group(16, 32) + group(32, 64) + group(64, 128) + 2 * 128 + 128 * 10 + 10
    with torch.device("meta"):
        assert count(models.build(WRN, 10)) == by_hand == 1_467_610


@pytest.mark.parametrize("side", [8, 32])
def test_an_image_gets_one_row_of_logits_whatever_its_size(side):
    network = models.build(WRN.evolve(arguments={"depth": 10, "width": 1}), 10)
    assert network(torch.rand(2, 3, side, side)).shape == (2, 10, 1, 1)


def test_the_second_and_the_third_group_halve_the_size():
    with torch.device("meta"):
        network = models.build(WRN, 10)
        x, sizes = network.stem(torch.empty(1, 3, 32, 32)), []
        for group in network.groups:
            x = group(x)
            sizes.append(tuple(x.shape[1:]))
    assert sizes == [(32, 32, 32), (64, 16, 16), (128, 8, 8)]


def test_a_block_adds_its_convolutions_to_what_it_was_given():
    block = models.build(WRN, 10).groups[0][1].eval()
    torch.nn.init.zeros_(block.conv2.weight)
    x = torch.randn(1, 32, 4, 4)
    assert torch.equal(block(x), x)


def test_logits_do_not_depend_on_where_in_the_image_something_is():
    network = models.build(WRN.evolve(arguments={"depth": 10, "width": 1}), 3).eval()
    features = torch.randn(1, 64, 2, 2)
    network.groups = torch.nn.Identity()
    network.stem = torch.nn.Identity()
    assert torch.allclose(network(features), network(features.flip(2)))


@pytest.mark.parametrize("arguments", [{"depth": 27}, {"depth": 4}, {"width": 0}])
def test_what_no_wide_resnet_is_gets_said(arguments):
    with pytest.raises(ModelError, match=r"depth of 10, 16, 22, 28, .* but got"):
        models.build(WRN.evolve(arguments=arguments), 10)


def test_it_is_for_classification():
    assert models.task_of(WRN) == "classification"
    assert models.task_of(Model(architecture="DeepLabV2")) == "segmentation"
    assert models.task_of(Model(architecture="FPN")) == "segmentation"
