"""The same stages by one worker, by two and by four: real processes that speak gloo."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from dmt_ray.config import override
from dmt_ray.data.splits import divide
from dmt_ray.engine.batch_loader import BatchLoader, RngStream
from dmt_ray.engine.evaluate import evaluate
from dmt_ray.engine.finetune import finetune
from dmt_ray.engine.label import label
from dmt_ray.engine.parallel import spread
from dmt_ray.engine.pretrain import pretrain
from dmt_ray.engine.team import ALONE, Team
from dmt_ray.engine.workspace import Workspace
from dmt_ray.errors import Interrupted
from dmt_ray.execution.runner import Runner
from dmt_ray.methods import configure, dst, pseudo_label
from tests.helpers.teams import in_team

ENGINE = {"pretrain": pretrain, "label": label, "finetune": finetune, "evaluate": evaluate}
STEPS = 20


@pytest.fixture(scope="module")
def stages(module_machine, tiny):
    """The first four stages of a DST, in double precision, so that what differs is not rounding."""
    changes = {
        "pretrain.precision": "float64",
        "finetune.precision": "float64",
        # Eight labelled images in batches of six: the last batch of an epoch has two rows, fewer than four workers.
        "pretrain.batch": [6, 0],
        "pretrain.epochs": STEPS // 2,
        "finetune.epochs": 7,
    }
    runner = Runner(module_machine)
    plan = dst(runner.bind(override(tiny, changes)), 0)
    return runner, [stage for stage in plan.stages() if stage.operation.name != "evaluate"][:3] + plan.stages()[-1:]


@pytest.fixture(scope="module")
def folders(stages, tmp_path_factory) -> dict[int, Path]:
    """What teams of each size make of the stages; every team goes on from what the one worker has made."""
    runner, todo = stages
    root = tmp_path_factory.mktemp("teams")

    def perform(team: Team) -> None:
        work = Workspace(runner.dataset(todo[0].config.data), team=team, eval_batch=2)
        for stage in todo:
            out, scratch = (root / f"{place}-{team.size}-{team.rank}" / stage.operation.name for place in ("out", "s"))
            out.mkdir(parents=True)
            scratch.mkdir(parents=True)
            needed = {"teacher": "pretrain", "start": "pretrain", "labels": "label", "model": "finetune"}
            inputs = {name: root / "out-1-0" / needed[name] for name in stage.inputs}
            ENGINE[stage.operation.name](stage.config, replace(work, inputs=inputs, out=out, scratch=scratch))

    torch.set_num_threads(1)
    perform(ALONE)
    for size in (2, 4):
        in_team(size, perform)
    return {size: root / f"out-{size}-0" for size in (1, 2, 4)}


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("training", ["pretrain", "finetune"])
def test_a_team_has_the_losses_of_one_worker(folders, training, size):
    one, team = (pd.read_csv(folders[n] / training / "history.csv") for n in (1, size))
    assert one["step"].max() >= STEPS
    assert np.allclose(team["loss"], one["loss"], rtol=1e-5, atol=0)
    assert list(team.columns) == list(one.columns)


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("training", ["pretrain", "finetune"])
def test_a_team_has_the_weights_of_one_worker(folders, training, size):
    one, team = (load_file(folders[n] / training / "model.safetensors") for n in (1, size))
    assert one.keys() == team.keys()
    for name, value in one.items():
        assert torch.allclose(team[name].double(), value.double(), rtol=1e-5, atol=1e-6), name


@pytest.mark.parametrize("size", [2, 4])
def test_a_team_makes_the_pseudo_labels_of_one_worker_to_the_byte(folders, size):
    for name in ("labels.npy", "confidence.npy", "summary.json"):
        assert (folders[size] / "label" / name).read_bytes() == (folders[1] / "label" / name).read_bytes()


@pytest.mark.parametrize("size", [2, 4])
def test_a_team_counts_the_confusions_of_one_worker(folders, size):
    assert (folders[size] / "evaluate" / "metrics.json").read_bytes() == (
        folders[1] / "evaluate" / "metrics.json"
    ).read_bytes()


def test_only_the_chief_writes(folders):
    written = folders[4].parent / "out-4-3"
    assert [path for path in written.rglob("*") if path.is_file()] == []
    left = [path for path in (folders[4].parent / "s-4-3").rglob("*") if path.is_file()]
    assert left == []


def test_the_rows_of_a_team_are_the_rows_of_the_global_batch(stages):
    runner, todo = stages
    config, dataset = todo[0].config, runner.dataset(todo[0].config.data)
    labelled = divide(config.split, config.data, dataset).labelled

    def images(team: Team) -> torch.Tensor:
        loader = BatchLoader(Workspace(dataset, team=team), config.training, labelled, None, RngStream(0, "A", 0))
        return loader.step(0).batch.images

    whole = images(ALONE)
    assert len(whole) == 6
    for rank in range(4):
        assert torch.equal(images(Team(rank, 4)), whole[rank::4])


def test_the_rising_weight_of_a_team_is_that_of_one_worker(stages, folders, tiny, tmp_path):
    runner, _ = stages
    rise = {"weight.rise_start": 0.0, "weight.rise_end": 1.0, "online.precision": "float64", "online.epochs": 5}
    taught = pseudo_label(runner.bind(configure(pseudo_label, tiny, rise)), 0).rungs[1]["A"].inputs["model"]
    dataset, start = runner.dataset(taught.config.data), folders[1] / "pretrain"

    def perform(team: Team) -> None:
        out, scratch = (tmp_path / f"{place}-{team.size}-{team.rank}" for place in ("out", "scratch"))
        out.mkdir()
        scratch.mkdir()
        work = Workspace(dataset, team=team)
        finetune(taught.config, replace(work, inputs={"start": start}, out=out, scratch=scratch))

    perform(ALONE)
    in_team(2, perform)
    one, team = (pd.read_csv(tmp_path / f"out-{size}-0" / "history.csv") for size in (1, 2))
    assert one["mean_weight"].is_monotonic_increasing
    assert len(one) == 3
    for column in ("loss", "mean_weight"):
        assert np.allclose(team[column], one[column], rtol=1e-5, atol=0)


def test_batch_statistics_are_those_of_the_whole_batch_also_where_a_worker_has_no_rows():
    torch.manual_seed(0)
    images, targets = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4)

    def trained(team: Team) -> tuple[list[np.ndarray], list[np.ndarray]]:
        torch.manual_seed(1)
        network = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1))
        model = spread(network, team)
        loss = ((model(images[team.rank :: team.size]) - targets[team.rank :: team.size]) ** 2).sum() * team.size
        loss.backward()
        gradients = [parameter.grad.numpy().copy() for parameter in network.parameters()]
        return gradients, [buffer.numpy().copy() for buffer in network.buffers()]

    expected = trained(ALONE)
    for found in in_team(4, trained):  # four workers, three rows
        for ours, theirs in zip(found, expected, strict=True):
            for our, their in zip(ours, theirs, strict=True):
                assert np.allclose(our, their, rtol=1e-4, atol=1e-5)


def test_a_team_that_is_asked_to_stop_goes_on_from_there(stages, folders, tmp_path):
    runner, todo = stages
    stage = todo[0]
    dataset = runner.dataset(stage.config.data)

    def perform(team: Team, stop: bool) -> str:
        folder = tmp_path / f"{team.rank}"
        for name in ("out", "scratch"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        # Only one of the workers is told to stop.
        work = Workspace(dataset, team=team, stop=lambda: stop and team.rank == 1)
        try:
            pretrain(stage.config, replace(work, inputs={}, out=folder / "out", scratch=folder / "scratch"))
        except Interrupted as error:
            return str(error)
        return "done"

    stopped = "the training was at step 5 of 20 and will resume from there"
    assert in_team(2, lambda team: perform(team, True)) == [stopped, stopped]
    assert in_team(2, lambda team: perform(team, False)) == ["done", "done"]
    for name in ("history.csv", "model.safetensors"):
        assert (tmp_path / "0" / "out" / name).read_bytes() == (folders[2] / "pretrain" / name).read_bytes()
