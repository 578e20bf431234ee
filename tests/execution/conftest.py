"""Sweeps that are disturbed while they run, and the same one undisturbed."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.faults import gammas
from tests.helpers.sweeps import RunningSweep, started

COLOURS = np.array([[40, 40, 40], [200, 60, 60], [60, 200, 60], [60, 60, 200]])
# Fine-tunings of a second or two: long enough to be struck in the middle.
RECIPE = """
recipe: folder
data: {classes: [ground, red, green, blue]}
split: {labelled: 8, selection: 0.2}
model: {encoder: tu-test_resnet, arguments: {encoder_depth: 4, decoder_channels: [64, 48, 32, 16]}}
pretrain: {epochs: 30, batch: [4, 0], augment: {crop: [32, 32]}}
finetune: {epochs: 30, batch: [2, 6], augment: {crop: [32, 32]}}
online: {augment: {crop: [32, 32]}}
oracle: {augment: {crop: [32, 32]}}
percentiles: [1.0]
"""
# All points are known, so that every sweep tries the same ones.
SCRIPT = """
import sys
from dmt_ray.cli.sweep import Question, main
from dmt_ray.experiments.sweep import Uniform
setting, known = {setting!r}, {known!r}
if __name__ == "__main__":
    sys.exit(main(Question("", "faults", "?", {{setting: Uniform(0.001, 1e30)}},
                           known=[{{setting: value}} for value in known])))
"""


# In every process of a sweep: SIGUSR1 makes it hang in C code that never lets go of the interpreter.
HANG = """
import re, signal
signal.signal(signal.SIGUSR1, lambda *_: re.match("(a+)+b", "a" * 64))
"""


@pytest.fixture(scope="session")
def home(tmp_path_factory) -> Path:
    """Thirty pictures with three coloured squares, a recipe, and two scripts."""
    folder, random = tmp_path_factory.mktemp("faults"), np.random.default_rng(0)
    for place in ("images", "masks"):
        (folder / "data" / place).mkdir(parents=True)
    for number in range(30):
        mask = np.zeros((32, 32), np.uint8)
        for colour in (1, 2, 3):
            top, left = random.integers(0, 18, 2)
            mask[top : top + 14, left : left + 14] = colour
        image = COLOURS[mask] + random.integers(-30, 30, (32, 32, 3))
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / "data" / "images" / f"{number:02}.png")
        Image.fromarray(mask).save(folder / "data" / "masks" / f"{number:02}.png")
    (folder / "recipe.yaml").write_text(RECIPE)
    # The recipe's own gamma is 5, its learning rate 0.005.
    (folder / "gamma.py").write_text(SCRIPT.format(setting="weight.gamma1", known=[3.0, 1.0]))
    (folder / "rate.py").write_text(SCRIPT.format(setting="finetune.learning_rate", known=[10.0, 1e30, 0.01]))
    return folder


@pytest.fixture(scope="session")
def undisturbed(home) -> RunningSweep:
    """The sweep over gamma as it should be."""
    with started(home / "undisturbed", *gammas(home)) as sweep:
        said = sweep.finish()
    assert sweep.process.returncode == 0, said
    return sweep


@pytest.fixture
def can_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that are started now hang when they are sent SIGUSR1."""
    (tmp_path / "hang").mkdir()
    (tmp_path / "hang" / "sitecustomize.py").write_text(HANG)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hang"), prepend=os.pathsep)
