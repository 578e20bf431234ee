"""docs/how-to/own-images.md on generated files: from a bare folder to overlays of predictions, as its commands say."""

import csv
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from dmt_ray.data import open_dataset
from dmt_ray.data.files import IMAGE_ENDINGS
from dmt_ray.recipes import load
from tests.helpers import own_folders
from tests.helpers.pages import DOCS, blocks

PAGE = DOCS / "how-to/own-images.md"
MADE = {
    "nuclei": own_folders.nuclei,
    "street": own_folders.street,
    "microscopy": own_folders.deep,
    "scenes": own_folders.bands,
    "flowers": own_folders.classes,
}
SHORT = ("pretrain.epochs=2", "finetune.epochs=1", "retrain.epochs=1", "percentiles=[1.0]")


def commands(kind: str) -> list[list[str]]:
    """The commands of the page that speak of a kind of folder, in their order, and none of them twice."""
    lines = [line for block in blocks(PAGE, "sh") for line in block.splitlines() if f"path/to/{kind}" in line]
    return [shlex.split(line, comments=True)[1:] for line in dict.fromkeys(lines)]


@pytest.mark.parametrize("kind", MADE)
def test_the_recipe_on_the_page_is_the_one_that_is_written(kind, tmp_path):
    from dmt_ray.api.own_data import Machine, propose

    written = propose(MADE[kind](tmp_path / kind), Machine(gpu=False, pretrained=False)).text
    (shown,) = [text for text in blocks(PAGE, "yaml") if text.startswith(f"# {kind}.yaml")]
    (tmp_path / "shown.yaml").write_text(shown)
    (tmp_path / "written.yaml").write_text(written)
    expected, got = (load(str(tmp_path / name)) for name in ("shown.yaml", "written.yaml"))
    for setting in yaml.safe_load(shown)["data"]:
        assert getattr(got.data, setting) == getattr(expected.data, setting), setting


@pytest.mark.parametrize("kind", MADE)
def test_there_are_at_most_three_commands(kind):
    told = [" ".join(words[:2]) for words in commands(kind) if words[:2] != ["data", "show"]]
    assert [one.partition(" path")[0] for one in told] == ["data init", "run --recipe", "predict"][: len(told)]


def test_the_conversion_of_jpeg_masks_gives_back_what_was_drawn(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("path/to/masks").mkdir(parents=True)
    drawn = np.zeros((64, 64), np.uint8)
    drawn[16:48, 20:45] = 255
    Image.fromarray(drawn).save("path/to/masks/a.jpg", quality=50)
    with Image.open("path/to/masks/a.jpg") as lossy:
        assert len(np.unique(np.asarray(lossy))) > 2
    (conversion,) = blocks(PAGE, "python")
    exec(compile(conversion, str(PAGE), "exec"), {})
    with Image.open("path/to/masks-png/a.png") as made:
        classes = np.asarray(made)
    assert set(np.unique(classes).tolist()) <= {0, 1, 255}
    assert (classes == drawn).mean() > 0.99


@pytest.mark.slow
@pytest.mark.parametrize("kind", MADE)
def test_the_commands_lead_from_a_bare_folder_to_overlays(kind, tmp_path):
    root = MADE[kind](tmp_path / "path/to" / kind)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    for words in commands(kind):
        short = [word for change in SHORT for word in ("--set", change)] if words[0] == "run" else []
        call = [sys.executable, "-m", "dmt_ray.cli", *words, *short]
        done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    config = load(str(tmp_path / f"{kind}.yaml"))
    dataset = open_dataset(config.data, root, tmp_path / "cache")
    ids = {id for images in dataset.subsets.values() for id in images.ids}
    out = tmp_path / f"path/to/{kind}-predictions"
    with (out / "predictions.csv").open(encoding="utf-8", newline="") as file:
        pictures = [row["picture"] for row in csv.DictReader(file)]
    assert len(pictures) == len(ids) == 24
    for name in pictures:
        assert Path(name).suffix in IMAGE_ENDINGS
        assert not re.search("mask|label", name)
        with Image.open((out / "overlay" / name).with_suffix(".png")) as overlay:
            size = overlay.size
        with Image.open((out / "class" / name).with_suffix(".png")) as numbered:
            numbers = np.asarray(numbered)
        caption = 0 if config.data.task == "segmentation" else 14
        assert (size[0], size[1] - caption) == numbers.shape[::-1]
        assert numbers.max() < len(dataset.classes)
