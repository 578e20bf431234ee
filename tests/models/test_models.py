import pytest
import torch
from safetensors.torch import save_file

from dmt_ray import models
from dmt_ray.config import Model
from dmt_ray.errors import ModelError

SMALL = Model(encoder="tu-test_resnet", arguments={"encoder_depth": 4, "decoder_channels": [16, 8, 8, 8]})


def test_a_model_survives_being_written_and_read(tmp_path):
    network = models.build(SMALL, 5).eval()
    models.save(network, tmp_path, {"model": SMALL.model_dump(mode="json"), "classes": 5, "side": "B"})
    again, description = models.load(tmp_path)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(again.eval()(images), network(images))
    assert description["side"] == "B"


@pytest.mark.parametrize(("aspp", "branches"), [("paper", 2), ("full", 4)])
def test_deeplab_v2_sums_the_branches_that_it_is_told_to(aspp, branches):
    with torch.device("meta"):
        network = models.build(Model(architecture="DeepLabV2", encoder="resnet101", arguments={"aspp": aspp}), 21)
        logits = network(torch.empty(1, 3, 321, 321))
    assert logits.shape == (1, 21, 321, 321)
    assert len(network.branches) == branches
    assert network.encoder.layer4[-1].conv2.dilation == (4, 4)  # output stride 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"architecture": "DeepLabV2", "encoder": "resnet18", "arguments": {}},
            "needs an encoder of resnet50, resnet101",
        ),
        ({"architecture": "DeepLabV2", "encoder": "resnet50", "arguments": {"aspp": "half"}}, "aspp must be"),
        ({"architecture": "DeepLabV2", "encoder": "resnet50", "encoder_weights": "imagenet"}, "downloads nothing"),
        ({"architecture": "Deeplab"}, "did you mean 'DeepLab"),
        ({"encoder": "resnet19"}, "did you mean 'resnet1"),
        ({"arguments": {"encoder_depth": 9}}, "cannot be built"),
    ],
)
def test_what_cannot_be_built_is_said(changes, message):
    with pytest.raises(ModelError, match=message), torch.device("meta"):
        models.build(SMALL.evolve(**changes), 5)


def test_weights_of_the_whole_network_are_taken_over(tmp_path):
    network = models.build(SMALL, 5)
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    again = models.build(SMALL.evolve(weights_file=str(tmp_path / "w.safetensors")), 5)
    assert all(
        torch.equal(a, b) for a, b in zip(network.state_dict().values(), again.state_dict().values(), strict=True)
    )


def test_weights_of_the_encoder_alone_are_taken_over_and_the_head_stays_random(tmp_path):
    network = models.build(SMALL, 5)
    save_file(network.encoder.state_dict(), tmp_path / "w.safetensors")
    again = models.build(SMALL.evolve(weights_file=str(tmp_path / "w.safetensors")), 9)
    first = next(iter(network.encoder.state_dict()))
    assert torch.equal(again.encoder.state_dict()[first], network.encoder.state_dict()[first])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("w.pth", b"", "come as .safetensors, .* 'w.pth'"),
        ("w.safetensors", b"not a header", "cannot read the weights file"),
        ("none.safetensors", None, "cannot read the weights file"),
    ],
)
def test_a_file_that_cannot_be_used_is_said(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=message):
        models.build(SMALL.evolve(weights_file=str(tmp_path / name)), 5)


def test_weights_of_another_network_are_refused(tmp_path):
    save_file({"something.else": torch.zeros(2)}, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match=r"no tensor of .* fits the network: it holds e.g. 'something.else'"):
        models.build(SMALL.evolve(weights_file=str(tmp_path / "w.safetensors")), 5)


def test_the_digest_of_a_file_does_not_depend_on_its_name(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"weights")
    assert models.digest(tmp_path / "a") == models.digest(tmp_path / "b")
    assert len(models.digest(tmp_path / "a")) == 32
