import pytest
import torch

from dmt_ray import models
from dmt_ray.config import Model


def deeplab(aspp):
    return Model(architecture="DeepLabV2", encoder="resnet50", arguments={"aspp": aspp})


@pytest.mark.parametrize("aspp", ["paper", "full"])
def test_every_parameter_learns_in_a_step(aspp):
    network = models.build(deeplab(aspp), 3)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    images, labels = torch.rand(1, 3, 33, 65), torch.randint(3, (1, 33, 65))
    torch.nn.functional.cross_entropy(network(images), labels).backward()
    optimizer.step()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert all(not torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))


@pytest.mark.parametrize(("aspp", "expected"), [("paper", 1 + 2), ("full", 1 + 2 + 4 + 8)])
def test_the_branches_are_summed(aspp, expected):
    network = models.build(deeplab(aspp), 1).eval()
    for place, branch in enumerate(network.branches):
        torch.nn.init.zeros_(branch.weight)
        torch.nn.init.constant_(branch.bias, 2.0**place)
    with torch.inference_mode():
        logits = network(torch.rand(1, 3, 33, 65))
    assert logits.shape == (1, 1, 33, 65)
    assert torch.equal(logits, torch.full_like(logits, expected))


def test_the_branches_look_further_and_further():
    with torch.device("meta"):
        network = models.build(deeplab("full"), 1)
    assert [branch.dilation for branch in network.branches] == [(6, 6), (12, 12), (18, 18), (24, 24)]
