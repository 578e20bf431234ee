"""`dmt evaluate`: a model on another data set, kept in the store."""

import io
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from torch import nn

from dmt_ray.api import evaluating
from dmt_ray.api.trained import Trained
from dmt_ray.cli import main as cli
from dmt_ray.config import Model, override
from dmt_ray.deploy.model_info import DataUsed, ModelInfo
from dmt_ray.engine.tiles import Tiling
from dmt_ray.errors import ConfigError
from dmt_ray.execution import progress
from dmt_ray.execution.runner import Machine
from dmt_ray.models import Padding
from dmt_ray.recipes import named
from tests.helpers.trained import run_file

QUIET = Console(quiet=True)


class Brightness(nn.Module):
    """Its class 0 is "bright", its class 1 "dark"; counts what it has seen."""

    padding = Padding(1)
    seen = 0

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, images):
        Brightness.seen += len(images)
        bright = images.sum(dim=1, keepdim=True)
        return torch.cat([bright, -bright], dim=1)


@pytest.fixture
def machine(tmp_path):
    """A data set whose classes stand in the other order; of its one test image the model is wrong about a quarter."""
    data = tmp_path / "data"
    for place in ("images", "masks"):
        (data / place).mkdir(parents=True)
    for name, wrong in (("a", 0), ("b", 0), ("c", 0), ("t", 1)):
        mask = np.zeros((8, 8), np.uint8)
        mask[:, 4:] = 1
        image = np.repeat(mask[..., None] * 255, 3, axis=2).astype(np.uint8)
        mask[:4, :4] = wrong
        Image.fromarray(image).save(data / "images" / f"{name}.png")
        Image.fromarray(mask).save(data / "masks" / f"{name}.png")
    for subset, ids in (("train", "a\nb"), ("val", "c"), ("test", "t")):
        (data / f"{subset}.txt").write_text(f"{ids}\n")
    return Machine(tmp_path / "runs", data, "cpu")


@pytest.fixture
def config():
    lists = {f"{subset}_list": f"{subset}.txt" for subset in ("train", "val", "test")}
    return override(named("shapes"), {"data": {"name": "folder", "classes": ["dark", "bright"], **lists}})


@pytest.fixture
def model(tmp_path):
    (tmp_path / "w.safetensors").write_bytes(b"weights")
    info = ModelInfo(
        name="toy",
        model=Model(architecture="UNet", encoder="none"),
        classes=("bright", "dark"),
        palette=((255, 255, 255), (0, 0, 0)),
        crop=(8, 8),
        key="0123",
        data=DataUsed(name="toy"),
    )
    Brightness.seen = 0
    return Trained("toy", (Brightness(),), (info,), (tmp_path / "w.safetensors",))


def test_classes_match_by_name_and_a_second_call_finds_the_scores(machine, config, model):
    first = evaluating.evaluate(model, config, machine, Tiling((8, 8)), QUIET)
    # Of 64 pixels 48 are bright and 16 dark; predicted are 32 and 32: IoU 32/48 and 16/32.
    assert first.scores["iou"] == [pytest.approx(0.5), pytest.approx(2 / 3)]
    assert (first.classes, first.stored) == (("dark", "bright"), False)
    seen = Brightness.seen
    again = evaluating.evaluate(model, config, machine, Tiling((8, 8)), QUIET)
    assert (again.scores, again.stored, Brightness.seen) == (first.scores, True, seen)


def test_images_that_go_through_a_network_together_are_all_counted(machine, config, model, monkeypatch):
    """Two of 8 x 8 pixels before a wide one of 8 x 16: half the pixels, then all."""
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0.0)
    for name, width in (("s", 16), ("u", 8)):
        Image.new("RGB", (width, 8)).save(machine.data / "images" / f"{name}.png")
        Image.new("L", (width, 8)).save(machine.data / "masks" / f"{name}.png")
    (machine.data / "test.txt").write_text("s\nt\nu\n")
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    evaluating.evaluate(model, config, machine, None, console)
    found = re.findall(r"(\d) of 3 images, (\d+) %", console.file.getvalue())
    assert [one for i, one in enumerate(found) if one not in found[:i]] == [("2", "50"), ("3", "100")]


def test_other_weights_tiles_or_averages_are_other_scores_in_the_store(machine, config, model, tmp_path):
    keys = {evaluating.evaluate(model, config, machine, Tiling((8, 8)), QUIET).key}
    keys.add(evaluating.evaluate(model, config, machine, Tiling((4, 4)), QUIET).key)
    both = Trained("both", model.networks * 2, model.infos * 2, model.files * 2)
    result = evaluating.evaluate(both, config, machine, Tiling((8, 8)), QUIET)
    assert result.scores["miou"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    keys.add(result.key)
    (tmp_path / "w.safetensors").write_bytes(b"other weights")
    keys.add(evaluating.evaluate(model, config, machine, Tiling((8, 8)), QUIET).key)
    assert len(keys) == 4


def test_classes_that_differ_are_an_error_that_names_them(machine, config, model):
    other = replace(model, infos=(model.info.evolve(classes=("bright", "night")),))
    message = "only the data set has 'dark'; only the model has 'night'"
    with pytest.raises(ConfigError, match=message):
        evaluating.evaluate(other, config, machine, Tiling((8, 8)), QUIET)
    assert Brightness.seen == 0


def test_the_command_scores_a_run_on_a_folder_and_refuses_other_classes(tmp_path, capsys, settings, pictures):
    run_file(tmp_path / "runs", "baseline")
    words = ["evaluate", "baseline-shapes", "--storage", str(tmp_path / "runs"), "--device", "cpu", "--data"]
    words += [str(pictures), "--recipe", str(settings)]
    assert cli.main(words) == 0
    first = capsys.readouterr().out
    assert "on 6 images of test of folder (score-" in first
    assert "triangle" in first
    assert cli.main(words) == 0
    assert "found in the store" in capsys.readouterr().out
    names = "data.classes=[background, disc, square, triangle, star, moon]"
    assert cli.main([*words, "--set", names]) == 2
    assert "only the data set has 'moon'; only the model has 'cross'" in capsys.readouterr().err
