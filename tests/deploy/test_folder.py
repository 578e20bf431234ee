"""A trained model as a folder: what it holds, that other libraries read it, and what is refused."""

import json

import numpy as np
import pytest
import torch

from dmt_ray import models
from dmt_ray.config import Model
from dmt_ray.deploy import folder as model_folder
from dmt_ray.deploy.model_info import DataUsed, ModelInfo, OwnScore, RuleScore
from dmt_ray.errors import ConfigError, ModelError
from tests.helpers.trained import FIRST, TINY

INFO = ModelInfo(
    name="dmt-shapes-seed0 A",
    model=TINY,
    classes=("sky", "the | road"),
    palette=((0, 0, 0), (200, 100, 0)),
    size=(24, 32),
    crop=(16, 16),
    key="0123 model.safetensors",
    data=DataUsed(name="camvid", fingerprint="f1f1", split="random-16-0", split_digest="abcabc"),
    method="dmt",
    seed=3,
    command="dmt run --method dmt",
    scores=(
        RuleScore(rule="last", n=3, validation=0.5, test=0.45, test_sd=0.01),
        RuleScore(rule="paper", n=3, validation=0.6, test=0.55, test_sd=0.02),
    ),
    score=OwnScore(measure="miou", validation=0.5, test=0.4321, validation_images=6, test_images=7),
    code={"commit": "c0ffee"},
    first_weights=FIRST,
)


def weights_of(model, classes, folder):
    """A file of random weights, and the network that has them."""
    torch.manual_seed(0)
    network = models.build(model, classes)
    for name, values in network.named_buffers():
        if name.endswith("running_mean"):
            values.normal_()
    models.save(network, folder, {"model": model.model_dump(mode="json"), "classes": classes, "side": "A"})
    return folder / "model.safetensors", network.eval()


def test_what_is_read_is_what_was_written(tmp_path):
    file, network = weights_of(TINY, 2, tmp_path)
    model_folder.write(tmp_path / "out", file, INFO)
    again, info = model_folder.read(tmp_path / "out")
    assert info == INFO
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(again(images), network(images))


def test_preprocessing_has_the_names_that_the_hub_gives_it(tmp_path):
    model_folder.write(tmp_path / "out", weights_of(TINY, 2, tmp_path)[0], INFO)
    values = json.loads((tmp_path / "out" / "preprocessor_config.json").read_text())
    assert values["size"] == {"height": 24, "width": 32}
    assert values["image_mean"] == [0.485, 0.456, 0.406]
    assert values["rescale_factor"] == pytest.approx(1 / 255)


def test_the_card_names_data_split_method_scores_with_n_code_and_licence(tmp_path):
    model_folder.write(tmp_path / "out", weights_of(TINY, 2, tmp_path)[0], INFO)
    card = (tmp_path / "out" / "README.md").read_text()
    for fact in (
        "- data: camvid, fingerprint f1f1",
        "- labelled images: random-16-0, digest abcabc",
        "- method: dmt",
        "mIoU 50.00 % on the validation images, 43.21 % on the test images (6 and 7 images)",
        "| last: after the last iteration | 50.00 % | 45.00 ± 1.00 % | 3 |",
        "biased upwards by selection) | 60.00 % | 55.00 ± 2.00 % | 3 |",
        "- commit: c0ffee",
        "- licence of the first weights: Apache-2.0",
        "dmt run --method dmt",
        "| 1 | the \\| road | #c86400 |",
        "does not know this network",
    ):
        assert fact in card, fact
    head = card.split("---")[1]
    assert "library_name: dmt-ray" in head


@pytest.mark.filterwarnings("ignore")  # of the hub's client
def test_segmentation_models_pytorch_reads_the_folder_and_gives_the_same_logits(tmp_path):
    import segmentation_models_pytorch as smp

    model = Model(
        architecture="Unet",
        encoder="tu-test_resnet",
        arguments={"encoder_depth": 3, "decoder_channels": [16, 8, 8]},
    )
    file, network = weights_of(model, 2, tmp_path)
    model_folder.write(tmp_path / "out", file, INFO.evolve(model=model))
    again = smp.from_pretrained(str(tmp_path / "out")).eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(again(images), network(images))
    assert "smp.from_pretrained" in (tmp_path / "out" / "README.md").read_text()


def test_an_earlier_export_is_replaced_and_anything_else_is_not(tmp_path):
    file, _ = weights_of(TINY, 2, tmp_path)
    model_folder.write(tmp_path / "out", file, INFO)
    (tmp_path / "out" / "model.onnx").write_text("of the earlier network")
    model_folder.write(tmp_path / "out", file, INFO.evolve(name="other"))
    assert model_folder.read(tmp_path / "out")[1].name == "other"
    assert not (tmp_path / "out" / "model.onnx").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="exists and holds no exported model"):
        model_folder.write(tmp_path / "mine", file, INFO)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("classes.json", "[{}]", "it does not hold 'name'"),
        ("classes.json", "{", r"classes\.json cannot be read"),
        ("model_info.json", '{"name": "x"}', "must be set"),
        ("preprocessor_config.json", "[]", "is no model that can be used"),
        ("classes.json", '[{"name": "sky", "colour": [0, 0, 0]}]', "does not hold the weights"),
        ("model.safetensors", "nothing", "cannot read the weights file"),
    ],
)
def test_a_folder_that_was_changed_is_an_error_and_no_traceback(tmp_path, name, text, message):
    model_folder.write(tmp_path / "out", weights_of(TINY, 2, tmp_path)[0], INFO)
    (tmp_path / "out" / name).write_text(text)
    with pytest.raises(ModelError, match=message):
        model_folder.read(tmp_path / "out")


def test_a_mean_that_no_one_has_is_refused(tmp_path):
    model_folder.write(tmp_path / "out", weights_of(TINY, 2, tmp_path)[0], INFO)
    path = tmp_path / "out" / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"normalised": "mine"}))
    with pytest.raises(ModelError, match="normalised must be"):
        model_folder.read(tmp_path / "out")


def test_colours_are_those_of_the_data_set(tmp_path):
    model_folder.write(tmp_path / "out", weights_of(TINY, 2, tmp_path)[0], INFO)
    assert np.array(model_folder.read(tmp_path / "out")[1].palette).tolist() == [[0, 0, 0], [200, 100, 0]]
