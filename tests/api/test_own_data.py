"""A recipe is written for a folder, runs on it, and follows what is in it."""

import sys

import numpy as np
import pytest
from PIL import Image

from dmt_ray.api.own_data import Machine, propose, write_recipe
from dmt_ray.api.own_data.proposal import text_of
from dmt_ray.cli import main as cli
from dmt_ray.data import divide, open_dataset
from dmt_ray.errors import ConfigError, DataError
from dmt_ray.recipes import load
from tests.helpers import own_folders

CPU = Machine(gpu=False, pretrained=True)


def config_for(root, machine=CPU):
    return write_recipe(propose(root, machine), root.parent / f"{root.name}.yaml", root)


def test_nuclei(tmp_path):
    config = config_for(own_folders.nuclei(tmp_path / "nuclei"))
    assert config.data.classes == ("background", "object")
    assert config.data.mask_values == {"0": "background", "255": "object"}
    assert config.pretrain.augment.crop == (32, 32)  # the smallest images are 56 x 56
    assert config.model.encoder == "tu-tf_efficientnet_lite0"


def test_street_scenes(tmp_path):
    root = own_folders.street(tmp_path / "street")
    config = config_for(root)
    assert config.data.classes == ("sky", "road", "car")
    assert config.data.mask_values["0 0 0"] == "ignore"
    dataset = open_dataset(config.data, root, tmp_path / "cache")
    assert {name: len(images) for name, images in dataset.subsets.items()} == {"train": 18, "test": 6}
    assert dataset.palette.tolist() == [list(colour) for colour in own_folders.STREET.values()]


def test_tiffs_of_16_bits_with_numbered_objects(tmp_path):
    root = own_folders.deep(tmp_path / "deep")
    config = config_for(root)
    assert config.data.range == (0, 4095)
    assert config.data.mask_values == {"0": "background", "other": "object"}
    assert "# groups: '{group}/*'" in (tmp_path / "deep.yaml").read_text()
    dataset = open_dataset(config.data, root, tmp_path / "cache")
    mask = dataset.subsets["train"].mask(0)
    assert set(np.unique(mask).tolist()) == {0, 1}
    assert dataset.subsets["train"].image(0)[mask == 1].min() > 180  # 3000 of 4095


def test_folders_of_classes(tmp_path):
    root = own_folders.classes(tmp_path / "classes")
    config = config_for(root)
    dataset = open_dataset(config.data, root, tmp_path / "cache")
    parts = divide(config.split, config.data, dataset)
    assert (dataset.classes, dataset.task) == (("cat", "dog"), "classification")
    assert (len(parts.labelled), len(parts.selection[1]), len(parts.reported[1])) == (8, 2, 4)


@pytest.mark.parametrize("kind", ["nuclei", "street", "deep", "classes", "bands"])
@pytest.mark.parametrize("machine", [Machine(True, True), Machine(True, False), Machine(False, False)])
def test_what_is_guessed_for_other_machines_is_a_recipe(kind, machine, tmp_path):
    config = config_for(getattr(own_folders, kind)(tmp_path / kind, 12), machine)
    assert config.model.encoder_weights is None or machine.pretrained


def test_images_without_masks_make_all_others_labelled(tmp_path):
    root = own_folders.nuclei(tmp_path / "nuclei")
    for i in range(12):
        (root / f"masks/n{i:03d}.png").unlink()
    config = config_for(root)
    dataset = open_dataset(config.data, root, tmp_path / "cache")
    parts = divide(config.split, config.data, dataset)
    known = dataset.subsets["train"].known
    assert (len(parts.reported[1]), len(parts.selection[1]), len(parts.labelled)) == (2, 1, 9)
    assert len(parts.unlabelled) == 12
    assert not known[list(parts.unlabelled)].any()


def test_large_images_are_made_smaller_for_a_cpu(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / "own" / folder).mkdir(parents=True)
    for i in range(8):
        Image.fromarray(np.full((400, 800, 3), i, np.uint8)).save(tmp_path / f"own/images/{i}.png")
        Image.fromarray((np.arange(320_000) % 2).astype(np.uint8).reshape(400, 800)).save(
            tmp_path / f"own/masks/{i}.png"
        )
    config = config_for(tmp_path / "own")
    assert config.data.size == (128, 256)
    assert config.pretrain.augment.crop == (128, 128)


@pytest.mark.parametrize(
    "text",
    ["background", "class 1", "no", "1", "a: b", "#x", "128 64 128", "{id}", "train/*", "ü", '"', "a, b", "null"],
)
def test_any_text_survives_a_recipe(text, tmp_path):
    (tmp_path / "a.yaml").write_text(f"recipe: folder\ndata: {{classes: [{text_of(text)}, other]}}\n", encoding="utf-8")
    assert load(str(tmp_path / "a.yaml")).data.classes[0] == text


def test_too_few_images_and_masks_of_one_class_are_refused(tmp_path):
    with pytest.raises(DataError, match="2 images with masks, too few"):
        propose(own_folders.nuclei(tmp_path / "few", 2), CPU)
    root = own_folders.nuclei(tmp_path / "one")
    for path in (root / "masks").iterdir():
        Image.fromarray(np.zeros_like(np.asarray(Image.open(path)))).save(path)
    with pytest.raises(DataError, match="1 values: 0: fewer than two classes"):
        propose(root, CPU)


def test_a_data_set_that_is_known_is_named(tmp_path):
    root = own_folders.nuclei(tmp_path / "own", 8)
    (root / "images").rename(root / "train")
    (root / "masks").rename(root / "trainannot")
    assert any("looks like the data set camvid" in one for one in propose(root, CPU).doubts)


def test_a_recipe_is_not_written_over(tmp_path):
    proposal = propose(own_folders.nuclei(tmp_path / "nuclei", 8), CPU)
    (tmp_path / "nuclei.yaml").write_text("mine")
    with pytest.raises(ConfigError, match="exists; choose another file as --out"):
        write_recipe(proposal, tmp_path / "nuclei.yaml", tmp_path / "nuclei")
    with pytest.raises(ConfigError, match=r"ends in \.yaml"):
        write_recipe(proposal, tmp_path / "nuclei.txt", tmp_path / "nuclei")
    assert (tmp_path / "nuclei.yaml").read_text() == "mine"


def test_the_commands_say_what_they_found_and_draw_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    own_folders.nuclei(tmp_path / "nuclei", 12)
    for words in (["init", "nuclei"], ["show", "--recipe", "nuclei.yaml", "--data", "nuclei", "--out", "sheet.png"]):
        monkeypatch.setattr(sys, "argv", ["dmt", "data", *words])
        assert cli.main() == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    assert "12 images with masks: images and masks" in out
    assert "dmt run --recipe nuclei.yaml --data nuclei" in out
    assert "wrote sheet.png" in out
    drawn = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))
    assert drawn.shape[0] > 400
    assert drawn.std() > 20
