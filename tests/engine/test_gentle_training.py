"""Whole stages with AdamW, warm-up, clipping, a moving average and frozen encoders: killed, and by two workers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from dmt_ray.config import override
from dmt_ray.engine.pretrain import pretrain
from dmt_ray.engine.team import ALONE, Team
from dmt_ray.engine.workspace import Workspace
from dmt_ray.errors import Interrupted
from dmt_ray.execution.runner import Runner
from dmt_ray.methods import dst, rml
from tests.helpers.teams import in_team

GENTLE = {
    "optimizer": "adamw",
    "learning_rate": 1e-3,
    "encoder_rate": 0.1,
    "warmup": 3,
    "schedule": "cosine",
    "clip_norm": 1.0,
    "ema": 0.9,
    "precision": "float64",
}
LENGTHS = {"pretrain.epochs": 8, "finetune.epochs": 4, "cotrain.epochs": 5, "percentiles": [1.0]}


@pytest.fixture(scope="module")
def runner(module_machine) -> Runner:
    return Runner(module_machine)


@pytest.fixture(scope="module")
def cfg(runner, tiny):
    gentle = {f"{training}.{name}": value for training in ("pretrain", "finetune") for name, value in GENTLE.items()}
    return runner.bind(override(tiny, gentle | LENGTHS))


def pretrained(runner, stage, folder: Path, team: Team = ALONE, **more) -> Path:
    out, scratch = folder / f"out-{team.rank}", folder / f"scratch-{team.rank}"
    for path in (out, scratch):
        path.mkdir(parents=True, exist_ok=True)
    work = Workspace(runner.dataset(stage.config.data), team=team, out=out, scratch=scratch, **more)
    pretrain(stage.config, work)
    return out


def weights_of(folder: Path, name: str = "model") -> dict[str, torch.Tensor]:
    return load_file(folder / f"{name}.safetensors")


def test_a_training_that_was_stopped_goes_on_to_the_same_bytes(runner, cfg, tmp_path):
    stage = dst(cfg, 0).stages()[0]
    whole = pretrained(runner, stage, tmp_path / "whole")
    with pytest.raises(Interrupted, match="at step 5 of"):
        pretrained(runner, stage, tmp_path / "again", stop=lambda: True)
    resumed = pretrained(runner, stage, tmp_path / "again")
    names = {path.name for path in whole.iterdir()}
    assert {"model.safetensors", "model-averaged.safetensors", "history.csv"} <= names
    for name in names:
        assert (resumed / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.parametrize("kept", [{}, {"model.frozen": True}, {"model.frozen_statistics": True}])
def test_two_workers_have_the_losses_and_weights_of_one(runner, cfg, tmp_path, kept):
    stage = dst(override(cfg, kept), 0).stages()[0]
    one = pretrained(runner, stage, tmp_path / "one")
    in_team(2, lambda team: pretrained(runner, stage, tmp_path / "two", team))
    two = tmp_path / "two" / "out-0"
    losses = [pd.read_csv(folder / "history.csv")["loss"] for folder in (one, two)]
    assert np.allclose(*losses, rtol=1e-4, atol=0)
    for name in ("model", "model-averaged"):
        expected, found = weights_of(one, name), weights_of(two, name)
        # A step of AdamW is as long as the rate, however small a gradient whose sign rounding decides.
        assert all(torch.allclose(found[key], value, rtol=1e-3, atol=1e-4) for key, value in expected.items())


def test_the_history_shows_the_rates_after_the_warm_up(runner, cfg):
    stage = dst(cfg, 0).stages()[0]
    runner.perform([stage])
    rows = pd.read_csv(runner.store.path(stage) / "history.csv")
    assert rows["step"].tolist() == [5, 8]
    after = [1 / 5, 4 / 5]  # of the five steps after the warm-up of three, before the steps that end the rows
    assert rows["learning_rate"].tolist() == pytest.approx([1e-3 * (1 + np.cos(np.pi * share)) / 2 for share in after])


@pytest.mark.parametrize("setting", ["frozen", "frozen_statistics"])
def test_a_frozen_encoder_stays_to_the_last_bit_through_pretraining_and_finetuning(runner, tiny, setting):
    config = runner.bind(override(tiny, {f"model.{setting}": True, **LENGTHS}))
    model = dst(config, 0).rungs[1]["A"].inputs["model"]
    runner.perform([model])
    first, last = (weights_of(runner.store.path(stage)) for stage in (model.inputs["start"], model))
    same = {name for name, value in first.items() if torch.equal(value, last[name])}
    encoder = {name for name in first if name.startswith("encoder.")}
    statistics = {
        name for name in first if name.rpartition(".")[2] in ("running_mean", "running_var", "num_batches_tracked")
    }
    assert same == (encoder if setting == "frozen" else encoder & statistics)
    means = [first[name] for name in encoder & statistics if name.endswith("running_mean")]
    assert all(mean.eq(0).all() for mean in means)  # as they were built


def test_students_that_label_themselves_keep_a_frozen_encoder_too(runner, tiny):
    config = runner.bind(override(tiny, {"model.frozen": True, **LENGTHS}).evolve(consistency={"stages": 1}))
    stage = rml(config, 0).rungs[1]["A"].inputs["model"]
    runner.perform([stage])
    before, after = weights_of(runner.store.path(stage.inputs["A"])), weights_of(runner.store.path(stage), "A")
    encoder = [name for name in before if name.startswith("encoder.")]
    assert encoder
    assert all(torch.equal(before[name], after[name]) for name in encoder)
    assert any(not torch.equal(before[name], after[name]) for name in before.keys() - set(encoder))


def test_settings_that_are_not_set_leave_keys_alone(tiny):
    names = ("optimizer", "encoder_rate", "head_rate", "clip_norm", "warmup", "schedule")
    assert not set(names) & tiny.pretrain.identity().keys()
    assert not {"frozen", "frozen_statistics"} & tiny.model.identity().keys()
    changed = tiny.pretrain.evolve(optimizer="adamw", warmup=0.1, clip_norm=5)
    assert {"optimizer": "adamw", "warmup": 0.1, "clip_norm": 5}.items() <= changed.identity().items()


def test_float16_is_trained_with_a_scaled_loss_and_goes_on_to_the_same_bytes(runner, tiny, tmp_path):
    # In the engine; a runner refuses it on a CPU, where it is slow.
    config = runner.bind(override(tiny, {"pretrain.epochs": 6, "pretrain.clip_norm": 1.0}))
    stage = dst(config, 0).stages()[0]
    half = replace(stage, config=stage.config.evolve(training=config.pretrain.evolve(precision="float16")))
    out = pretrained(runner, half, tmp_path / "whole")
    losses = pd.read_csv(out / "history.csv")["loss"]
    plain = pd.read_csv(pretrained(runner, stage, tmp_path / "plain") / "history.csv")["loss"]
    assert np.allclose(losses, plain, rtol=0.05)
    with pytest.raises(Interrupted):
        pretrained(runner, half, tmp_path / "again", stop=lambda: True)
    resumed = pretrained(runner, half, tmp_path / "again")
    assert (resumed / "model.safetensors").read_bytes() == (out / "model.safetensors").read_bytes()
