"""Where logits lie: moving an image by some pixels moves its logits by as many, for every architecture."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet

from dmt_ray import models
from dmt_ray.config import Model
from dmt_ray.models import Padding, padding_of
from tests.helpers.paths import ROOT

SMP = {"encoder": "tu-test_resnet"}
SETR_TINY = {"img_size": 96, "embed_dim": 16, "depth": 1, "num_heads": 2, "channels": 4}
DPT_TINY = Model(
    architecture="DPT",
    encoder="tu-test_vit",
    arguments={"embed_dim": 16, "decoder_intermediate_channels": [16, 16, 16, 16], "decoder_fusion_channels": 16},
)
# Architecture -> the network, its padding, pixels to move by, and where aligned corners stretch the logits of every
# image, in training as in testing (decision 0038), by how much of the way they may be off.
NETWORKS = {
    "DeepLabV2": (Model(architecture="DeepLabV2", encoder="resnet50"), Padding(8, 1), 8, 0.0),
    "SETR": (
        Model(architecture="SETR", encoder="vit_tiny_patch16_224", arguments={**SETR_TINY, "decoder": "naive"}),
        Padding(16),
        16,
        0.0,
    ),
    "SETR, patches of 14": (
        Model(
            architecture="SETR",
            encoder="vit_tiny_patch16_224",
            arguments={**SETR_TINY, "decoder": "naive", "patch_size": 14, "img_size": 98},
        ),
        Padding(14),
        14,
        0.0,
    ),
    "LinearHead": (
        Model(architecture="LinearHead", encoder="tu-test_vit", arguments={"embed_dim": 16}),
        Padding(16),
        16,
        0.0,
    ),
    "DPT": (DPT_TINY, Padding(32), 32, 0.15),
    "DPT, patches of 14": (
        DPT_TINY.evolve(arguments={**DPT_TINY.arguments, "patch_size": 14}),
        Padding(28),
        28,
        0.15,
    ),
    "UNet": (Model(architecture="UNet", encoder="none", arguments={"base": 2}), Padding(16), 16, 0.0),
    "Unet": (Model(architecture="Unet", **SMP), Padding(32), 32, 0.0),
    "DeepLabV3Plus": (Model(architecture="DeepLabV3Plus", **SMP), Padding(32), 32, 0.15),
    "PSPNet": (Model(architecture="PSPNet", **SMP), Padding(32), 32, 0.15),
    "FPN": (Model(architecture="FPN", **SMP), Padding(32), 32, 0.15),
    "UPerNet": (Model(architecture="UPerNet", **SMP), Padding(32), 32, 0.15),
    "Segformer": (Model(architecture="Segformer", **SMP), Padding(32), 32, 0.15),
}


@pytest.fixture(autouse=True)
def small_resnet(monkeypatch):
    """A ResNet with the strides of ResNet-50 and one block a layer."""

    def small(**arguments):
        return resnet.ResNet(resnet.Bottleneck, [1, 1, 1, 1], width_per_group=2, **arguments)

    monkeypatch.setattr("torchvision.models.resnet50", lambda weights=None, **arguments: small(**arguments))


def pointwise(network: nn.Module) -> nn.Module:
    """The network with nothing in its convolutions but their middles, so that borders and reach play no part.

    What is left is where things lie: strides, pooling, patches and enlargements. Position embeddings are 0, and what
    is pooled over the whole image, which does not move, is left out.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size[0] > 1 and module.kernel_size[0] % 2:
            middle = module.kernel_size[0] // 2
            weight = torch.zeros_like(module.weight.data)
            weight[:, :, middle, middle] = module.weight.data[:, :, middle, middle].abs()
            module.weight.data = weight
        if isinstance(module, nn.AdaptiveAvgPool2d):
            module.register_forward_hook(lambda _, given, output: torch.zeros_like(output))
    for name, parameter in network.named_parameters():
        if name.endswith("pos_embed"):
            parameter.data.zero_()
    return network.eval()


def logits_of(network: nn.Module, image: Tensor) -> Tensor:
    height, width = image.shape[-2:]
    padded = F.pad(image, padding_of(network).of(height, width))
    with torch.inference_mode():
        logits: Tensor = network(padded)[..., :height, :width]
    return logits


def image_with(place: int, side: int = 9) -> Tensor:
    """An image of 200 x 280 pixels with a bright square, black elsewhere."""
    image = torch.zeros(1, 3, 200, 280)
    image[..., place : place + side, place + 40 : place + 40 + side] = 1
    return image


def centre(logits: Tensor, background: Tensor) -> tuple[float, float]:
    """The middle of what differs from the background."""
    more = logits - background
    off = (more - more[..., -1:, -1:]).abs().sum(dim=(0, 1)).double()
    rows, columns = (torch.arange(n, dtype=torch.float64) for n in off.shape)
    return float((off.sum(1) * rows).sum() / off.sum()), float((off.sum(0) * columns).sum() / off.sum())


@pytest.mark.parametrize("name", NETWORKS)
def test_moving_an_image_moves_its_logits_by_as_much(name):
    settings, padding, stride, stretched = NETWORKS[name]
    torch.manual_seed(0)
    network = pointwise(models.build(settings, 2))
    assert padding_of(network) == padding
    before, after = (logits_of(network, image_with(place)) for place in (32, 32 + 3 * stride))
    assert before.std() > 0
    background = logits_of(network, torch.zeros_like(image_with(0)))
    places = [centre(logits, background) for logits in (before, after)]
    moved = [there - here for here, there in zip(*places, strict=True)]
    if stretched:
        assert moved == pytest.approx([3 * stride] * 2, rel=stretched)
    else:
        expected = torch.roll(before, (3 * stride, 3 * stride), dims=(-2, -1))
        assert moved == pytest.approx([3 * stride] * 2, abs=1e-3)
        torch.testing.assert_close(after, expected, rtol=1e-4, atol=1e-4 * float(before.abs().max()))


def test_every_architecture_that_the_page_names_is_moved():
    page = Path(ROOT, "docs/reference/networks.md").read_text(encoding="utf-8")
    table = page[page.index("| architecture") : page.index("`WideResNet` is for classification")]
    named = [word.strip("` ") for row in table.splitlines()[2:] if row for word in row.split("|")[1].split(",")]
    assert {name for name in named if name not in ("...", "WideResNet")} <= NETWORKS.keys()  # a class has no place


def test_aligned_corners_on_other_sides_than_8k_plus_1_would_move_logits():
    """What was wrong: of 500 columns, padded to 512, the logit at 480 was computed at 473."""
    features = torch.arange(512 // 8, dtype=torch.float32).view(1, 1, 1, -1) * 8  # where each was computed
    wrong = F.interpolate(features, size=(1, 512), mode="bilinear", align_corners=True)
    assert float(wrong[..., 480]) == pytest.approx(473.4, abs=0.1)
    right = F.interpolate(F.pad(features, (0, 1), value=512.0), size=(1, 513), mode="bilinear", align_corners=True)
    assert float(right[..., 480]) == 480


@pytest.mark.parametrize(("padding", "size", "expected"), [
    pytest.param(Padding(8, 1), (375, 500), (0, 5, 0, 2), id="DeepLabV2: 377 x 505"),
    pytest.param(Padding(8, 1), (321, 505), (0, 0, 0, 0), id="the authors' own sizes"),
    pytest.param(Padding(32), (360, 480), (0, 0, 0, 24), id="384 x 480"),
    pytest.param(Padding(1), (28, 31), (0, 0, 0, 0), id="none"),
])  # fmt: skip
def test_sides_are_the_next_that_the_network_takes(padding, size, expected):
    assert padding.of(*size) == expected


def test_deeplab_takes_sides_of_any_size_and_logits_stay_where_they_are():
    torch.manual_seed(0)
    network = pointwise(models.build(NETWORKS["DeepLabV2"][0], 2))
    image = torch.rand(1, 3, 65, 73)
    with torch.inference_mode():
        whole, cut = network(image), network(image[..., :64, :64])
    # The bilinear cell of the last pixels reaches beyond the smaller image.
    torch.testing.assert_close(cut[..., :57, :57], whole[..., :57, :57], rtol=1e-4, atol=1e-5)
