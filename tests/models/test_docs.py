import re

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from dmt_ray.config import IMAGENET
from tests.helpers.paths import ROOT

CONVERSIONS = re.findall(r"```python\n(.*?)```", ROOT.joinpath("docs/how-to/own-network.md").read_text(), re.S)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_conversion_keeps_every_weight(folder):
    weights = {"layer1.0.conv1.weight": torch.randn(4, 3, 1, 1), "fc.bias": torch.randn(5)}
    torch.save(weights, "resnet101.pth")
    exec(CONVERSIONS[0], {})
    converted = load_file("resnet101.safetensors")
    assert converted.keys() == weights.keys()
    assert all(torch.equal(converted[name], value) for name, value in weights.items())


def test_the_converted_coco_checkpoint_sees_in_our_images_what_it_saw_in_its_own(folder):
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in IMAGENET[1:])
    weight = torch.randn(4, 3, 7, 7)
    torch.save({"conv1.weight": weight}, "resnet101COCO.pth")
    exec(CONVERSIONS[1], {})
    red_first = torch.rand(1, 3, 9, 9)
    theirs = F.conv2d((255 * (red_first - mean)).flip(1), weight)
    ours = F.conv2d((red_first - mean) / std, load_file("coco.safetensors")["conv1.weight"])
    assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-2)
