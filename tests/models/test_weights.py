import logging

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from dmt_ray import models
from dmt_ray.config import Model
from dmt_ray.errors import ModelError

DEEPLAB = Model(architecture="DeepLabV2", encoder="resnet50", arguments={"aspp": "full"})
FPN = Model(architecture="FPN", encoder="resnet18")
VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}


def write(folder, weights):
    save_file({name: value.contiguous() for name, value in weights.items()}, folder / "w.safetensors")
    return str(folder / "w.safetensors")


@pytest.fixture(scope="module")
def resnet18():
    return torchvision.models.resnet18(weights=None).state_dict()


@pytest.fixture(scope="module")
def coco():
    """The COCO checkpoint's names, which are older than BatchNorm's counters, with random weights of ResNet-50."""
    weights = {}
    for name, value in models.build(DEEPLAB, 21).state_dict().items():
        if not name.endswith("num_batches_tracked"):
            weights[name.removeprefix("encoder.").replace("branches.", "layer5.conv2d_list.")] = value
    return weights


@pytest.mark.parametrize("prefix", ["", "module."])
def test_torchvisions_resnet_fills_an_encoder_and_its_last_layer_is_left_out(tmp_path, caplog, resnet18, prefix):
    file = write(tmp_path, {prefix + name: value for name, value in resnet18.items()})
    network = models.build(FPN.evolve(weights_file=file), 5)
    own = network.encoder.state_dict()
    assert all(torch.equal(own[name], value) for name, value in resnet18.items() if not name.startswith("fc."))
    (said,) = caplog.messages
    assert said == f"w.safetensors: 120 of 122 tensors taken; left out: {prefix}fc.bias, {prefix}fc.weight"


@pytest.mark.parametrize("prefix", ["", "Scale.", "module.Scale."])
def test_the_coco_checkpoint_fills_backbone_and_branches(tmp_path, caplog, coco, prefix):
    file = write(tmp_path, {prefix + name: value for name, value in coco.items()})
    with caplog.at_level(logging.INFO):
        network = models.build(DEEPLAB.evolve(weights_file=file), 21)
    assert torch.equal(network.encoder.layer4[2].conv3.weight, coco["layer4.2.conv3.weight"])
    for place, branch in enumerate(network.branches):
        assert torch.equal(branch.weight, coco[f"layer5.conv2d_list.{place}.weight"])
    assert caplog.messages == [f"w.safetensors: {len(coco)} of {len(coco)} tensors taken"]


def test_two_branches_take_the_first_two_of_the_coco_checkpoint(tmp_path, caplog, coco):
    network = models.build(DEEPLAB.evolve(weights_file=write(tmp_path, coco), arguments={"aspp": "paper"}), 21)
    assert torch.equal(network.branches[1].weight, coco["layer5.conv2d_list.1.weight"])
    assert caplog.messages[0].endswith(
        "left out: "
        + ", ".join(f"layer5.conv2d_list.{place}.{part}" for place in (2, 3) for part in ("bias", "weight"))
    )


def test_for_other_classes_the_coco_checkpoint_fills_the_backbone_alone(tmp_path, caplog, coco):
    network = models.build(DEEPLAB.evolve(weights_file=write(tmp_path, coco)), 19)
    assert torch.equal(network.encoder.conv1.weight, coco["conv1.weight"])
    assert caplog.messages[0].count("layer5.conv2d_list.") == 8


def test_the_coco_checkpoint_fills_the_encoder_of_another_network(tmp_path, coco):
    network = models.build(Model(architecture="FPN", encoder="resnet50", weights_file=write(tmp_path, coco)), 21)
    assert torch.equal(network.encoder.layer1[0].bn1.running_var, coco["layer1.0.bn1.running_var"])


def test_timms_weights_fill_timms_encoder(tmp_path):
    import timm

    weights = timm.create_model("test_resnet").state_dict()
    model = Model(encoder="tu-test_resnet", weights_file=write(tmp_path, weights))
    network = models.build(model, 5)
    assert torch.equal(network.encoder.model.conv1[0].weight, weights["conv1.0.weight"])


def test_timms_weights_fill_the_transformer_of_setr(tmp_path, caplog):
    import timm

    weights = timm.create_model("vit_tiny_patch16_224", **VIT).state_dict()
    model = Model(architecture="SETR", encoder="vit_tiny_patch16_224", arguments=VIT | {"channels": 8})
    network = models.build(model.evolve(weights_file=write(tmp_path, weights)), 5)
    assert all(torch.equal(value, weights[name]) for name, value in network.encoder.state_dict().items())
    assert caplog.messages[0].endswith("left out: head.bias, head.weight")


def test_a_network_without_encoder_takes_all_but_a_last_layer_for_other_classes(tmp_path, caplog):
    model = Model(architecture="WideResNet", encoder="none", arguments={"depth": 10, "width": 1})
    weights = models.build(model, 10).state_dict()
    network = models.build(model.evolve(weights_file=write(tmp_path, weights)), 3)
    assert torch.equal(network.stem.weight, weights["stem.weight"])
    assert caplog.messages[0].endswith("left out: classifier.bias, classifier.weight")


def test_a_file_with_holes_is_refused_with_their_names(tmp_path, resnet18):
    weights = {name: value for name, value in resnet18.items() if not name.startswith("layer1.0.conv")}
    with pytest.raises(ModelError, match=r"2 of its 100 tensors .* encoder.layer1.0.conv1.weight, encoder.layer1.0.co"):
        models.build(FPN.evolve(weights_file=write(tmp_path, weights)), 5)


def test_weights_of_a_larger_resnet_are_refused(tmp_path, coco):
    with pytest.raises(ModelError, match=r"does not cover the backbone: .* Use weights of the same encoder"):
        models.build(FPN.evolve(weights_file=write(tmp_path, coco)), 21)
