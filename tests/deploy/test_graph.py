"""Graphs that run without this project agree with the network, or say why there is none."""

import pytest
import torch
from torch import nn

from dmt_ray import models
from dmt_ray.config import Model
from dmt_ray.deploy import graph
from dmt_ray.deploy.model_info import DataUsed, ModelInfo
from dmt_ray.errors import ConfigError, ModelError
from dmt_ray.models import Padding

SETR = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2, "channels": 8}
NETWORKS = {
    "U-Net": (Model(architecture="UNet", encoder="none", arguments={"base": 4}), 32),
    "FPN on Lite0": (Model(architecture="FPN", encoder="tu-tf_efficientnet_lite0"), 64),
    "DeepLab-v2": (Model(architecture="DeepLabV2", encoder="resnet50"), 33),
    "SETR": (Model(architecture="SETR", encoder="vit_tiny_patch16_224", arguments=SETR), 32),
    "WRN": (Model(architecture="WideResNet", encoder="none", arguments={"depth": 10, "width": 1}), 32),
}


def info_of(model, side, classes=3):
    return ModelInfo(
        name="toy",
        model=model,
        task=models.task_of(model),
        classes=tuple("abcdef"[:classes]),
        palette=((0, 0, 0),) * classes,
        size=(side, side) if models.task_of(model) == "classification" else None,
        crop=(side, side),
        key="",
        data=DataUsed(name="toy"),
    )


def random_network(model, classes=3):
    """A network whose logits are of order 1 and whose normalisation is not that of new weights."""
    torch.manual_seed(0)
    network = models.build(model, classes).eval()
    for name, values in network.named_buffers():
        if name.endswith("running_mean"):
            values.normal_(std=0.1)
        if name.endswith("running_var"):
            values.uniform_(0.5, 1.5)
    with torch.no_grad():
        spread = network(torch.randn(2, 3, 64, 64)).std()
        for values in models.classifier(network).parameters():
            values /= spread
    return network


class Quarter(nn.Module):
    """A quarter of two channels; wrong as soon as it is written, if it is told so."""

    padding = Padding(1)

    def __init__(self, off=0.0):
        super().__init__()
        self.off = off
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, images):
        wrong = self.off if torch.compiler.is_exporting() else 0.0
        return images[:, :2] / 4 + wrong


class Decides(nn.Module):
    """What it does depends on what it sees, which no graph can hold."""

    padding = Padding(1)

    def forward(self, images):
        return images if float(images.sum()) > 0 else -images


TOY = info_of(Model(architecture="UNet", encoder="none"), 8, classes=2)


def test_a_pt2_file_takes_any_number_and_size_of_images_and_says_so(tmp_path):
    written = graph.write(Quarter(), TOY, "pt2", tmp_path / "model.pt2")
    assert written.varies == ("batch", "height", "width")
    assert written.difference <= graph.BOUND
    assert str(written).startswith("model.pt2: any batch, height, width; largest difference from the network ")
    read = torch.export.load(tmp_path / "model.pt2").module()
    mean, std = 0.485, 0.229
    # Normalisation is in the graph.
    assert float(read(torch.ones(3, 3, 5, 7))[0, 0, 0, 0]) == pytest.approx((1 - mean) / std / 4)


def test_logits_beyond_the_bound_fail_and_leave_no_file(tmp_path):
    with pytest.raises(ModelError, match=r"other logits than the network: the largest difference is 1\.00e-03"):
        graph.write(Quarter(off=1e-3), TOY, "pt2", tmp_path / "model.pt2")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported_says_so(tmp_path):
    with pytest.raises(ModelError, match="UNet cannot be exported as pt2: "):
        graph.write(Decides(), TOY, "pt2", tmp_path / "model.pt2")
    assert not list(tmp_path.iterdir())


def test_onnx_without_its_packages_names_the_extra(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "onnxruntime" else name)
    with pytest.raises(ConfigError, match=r"ONNX needs onnxruntime; .* pip install 'dmt-ray\[export\]'"):
        graph.check_format("onnx")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the tracers
@pytest.mark.parametrize("format", graph.FORMATS)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_written_graph_agrees_with_the_network_on_two_sizes_and_two_batch_sizes(name, format, tmp_path):
    pytest.importorskip("onnxruntime")
    model, side = NETWORKS[name]
    network = random_network(model)
    written = graph.write(network, info_of(model, side), format, tmp_path / f"model.{format}")
    assert written.difference <= 1e-4
    assert written.varies == ("batch", "height", "width")
    with torch.no_grad():
        logits = network(torch.rand(2, 3, side, side))
    assert 0.1 < float(logits.std()) < 10  # else a difference of 1e-4 would say little
