"""A fault at every file operation of a training's checkpoint, a power cut behind each, and flipped bits in it."""

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save
from torch import Tensor, nn

from dmt_ray.config import Training
from dmt_ray.engine import checkpoint
from dmt_ray.engine.checkpoint import FILE, BestSnapshot, Checkpoint
from dmt_ray.engine.optimizer import Update
from dmt_ray.engine.team import ALONE
from dmt_ray.recipes import named
from tests.helpers.disk import copy_of, every_fault, every_power_cut

TRAINING: Training = named("shapes").pretrain


@pytest.fixture(autouse=True)
def written_by_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bytes, by way of Python's files: the library writes them in Rust, which no fault reaches."""

    def save_file(tensors: dict[str, Tensor], file: Path, metadata: dict[str, str]) -> None:
        with open(file, "wb") as stream:
            stream.write(save(tensors, metadata))

    monkeypatch.setattr(checkpoint, "save_file", save_file)


class Trained:
    """A network of four weights after some steps, with all that a checkpoint is about."""

    def __init__(self, folder: Path, steps: int = 0) -> None:
        torch.manual_seed(0)
        self.network = nn.Linear(2, 2, bias=False)
        self.update = Update([self.network], TRAINING, torch.device("cpu"))
        self.history: list[dict[str, float]] = []
        self.best = BestSnapshot("val")
        work: Any = SimpleNamespace(scratch=folder, checkpoint_seconds=0.0)
        self.checkpoint = Checkpoint(work, self.network, self.update, self.history, self.best)
        for step in range(1, steps + 1):
            self.update.backward(self.network(torch.ones(1, 2)).sum())
            self.update.step(0.1)
            self.update.optimizer.zero_grad()
            self.history.append({"step": step, "loss": 1.0 / step})
            self.best.rows.append({"step": step, "selection_miou": 0.1 * step})
            self.best.weights = {"weight": torch.full((2, 2), float(step))}

    def all_of_it(self) -> list[object]:
        numbers = {**self.network.state_dict(), **self.update.state(), **self.best.weights}
        return [self.history, self.best.rows, {name: value.tolist() for name, value in numbers.items()}]


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """A scratch folder with the checkpoint of step 2."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    Trained(folder, 2).checkpoint.save(2)
    return folder


def go_on(folder: Path) -> None:
    """The training is at step 5, and writes a checkpoint."""
    Trained(folder, 5).checkpoint.save(5)


def resumed(folder: Path) -> tuple[int, list[object]]:
    fresh = Trained(folder)
    return fresh.checkpoint.restore(ALONE), fresh.all_of_it()


def check(folder: Path) -> None:
    step, state = resumed(folder)
    assert step in (2, 5)
    assert state == Trained(folder, step).all_of_it()


def test_what_is_resumed_is_what_was_saved(start: Path) -> None:
    check(start)
    go_on(start)
    assert resumed(start)[0] == 5
    check(start)


def test_no_fault_loses_a_checkpoint(start: Path, record_property: Callable[[str, object], None]) -> None:
    tally = every_fault(start, go_on, check, known=OSError)
    record_property("faults", tally.faults)
    assert tally.operations >= 5
    assert resumed(copy_of(start))[0] == 5


def test_no_power_cut_loses_a_checkpoint(start: Path, record_property: Callable[[str, object], None]) -> None:
    record_property("power cuts", every_power_cut(start, go_on, check))


def test_every_flipped_bit_of_a_checkpoint_is_found(
    start: Path, record_property: Callable[[str, object], None], caplog: pytest.LogCaptureFixture
) -> None:
    file, nothing = start / FILE, Trained(start).all_of_it()
    whole = file.read_bytes()
    caplog.set_level(logging.CRITICAL)
    places = range(0, 8 * len(whole), 29)
    for place in places:
        content = bytearray(whole)
        content[place // 8] ^= 1 << place % 8
        file.write_bytes(content)
        step, state = resumed(start)
        assert (step, state) in ((0, nothing), (2, Trained(start, 2).all_of_it())), place
        assert step == 0 or bytes(content).translate(None, b" ") == whole.translate(None, b" ")
    record_property("flipped bits in a checkpoint", len(places))


def test_a_cut_checkpoint_is_none_and_is_said(start: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = start / FILE
    whole = file.read_bytes()
    for length in (1, 7, 8, 9, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        assert resumed(start)[0] == 0
    assert f"{file} is damaged" in caplog.text
    assert "the training starts from its beginning" in caplog.text
