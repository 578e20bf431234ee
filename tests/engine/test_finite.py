"""No number that is none counts as a class: logits that are not finite end a stage, with what is wrong."""

import dataclasses
import importlib
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dmt_ray import models
from dmt_ray.config import Model
from dmt_ray.engine.finite import fault
from dmt_ray.engine.history import mean_loss
from dmt_ray.engine.inference import WholeImages
from dmt_ray.engine.ranking import encode
from dmt_ray.engine.student import Student
from dmt_ray.engine.workspace import Workspace
from dmt_ray.errors import TrainingFailed
from dmt_ray.execution.runner import Runner
from dmt_ray.methods import METHODS
from tests.helpers.noise import noise
from tests.helpers.teams import in_team

SMALL = Model(encoder="tu-test_resnet", arguments={"encoder_depth": 4, "decoder_channels": [8, 8, 8, 8]})
VARIANCE = "encoder.model.bn1.running_var"


def broken(value: float) -> torch.nn.Module:
    network = models.build(SMALL, 3).eval()
    network.state_dict()[VARIANCE][1] = value
    return network


def test_a_statistic_that_is_not_finite_is_named():
    what = fault(broken(float("nan")))
    assert what == f"{VARIANCE} holds 1 of {len(broken(0).state_dict()[VARIANCE])} values that are not finite"


def test_where_all_weights_are_finite_the_first_layer_that_overflows_is_named():
    what = fault(broken(-1.0), torch.rand(1, 3, 32, 32))
    assert what.startswith("the layer encoder.model.bn1 (BatchNorm")
    assert "its running_var lies between -1 and 1" in what


def test_a_healthy_network_has_no_fault():
    assert fault(broken(1.0), torch.rand(1, 3, 32, 32)) == ""


def test_the_first_image_whose_logits_are_not_finite_is_named():
    work = noise([(32, 32)] * 3, 3)
    whole = WholeImages(broken(float("nan")), work, work.dataset.subsets["train"], "model A (Unet/tu-test_resnet)")
    for position in (2, 1):
        whole.logits([position])
    expected = rf"model A \(Unet/tu-test_resnet\) .* first for the image 'image, 2': {VARIANCE} holds 1 of"
    with pytest.raises(TrainingFailed, match=expected):
        whole.check()


def test_every_worker_of_a_team_gives_up_when_one_has_such_an_image():
    def check(team):
        work = dataclasses.replace(noise([(32, 32)] * 2, 3), team=team)
        network = broken(float("nan") if team.rank else 1.0)
        whole = WholeImages(network, work, work.dataset.subsets["train"])
        whole.logits([team.rank])
        with pytest.raises(TrainingFailed, match="first for the image 'image, 1'"):
            whole.check()
        return True

    assert in_team(2, check) == [True, True]


def test_a_confidence_that_is_no_number_ranks_lowest():
    assert encode(torch.tensor([float("nan"), 1.0, 0.5])).tolist() == encode(torch.tensor([1.0, 1.0, 0.5])).tolist()


@pytest.mark.parametrize(("method", "operation"), [("dst", "label"), ("dst", "evaluate"), ("rwms", "assess")])
def test_a_stage_ends_when_its_model_is_broken(machine, tiny, tmp_path, method, operation):
    runner = Runner(machine)
    plan = METHODS[method](runner.bind(tiny), 0)
    stage = next(stage for stage in plan.stages() if stage.operation.name == operation)
    runner.perform(stage.inputs.values())
    folders = {name: runner.store.path(needed) for name, needed in stage.inputs.items()}
    for name, folder in folders.items():
        if (folder / "model.safetensors").exists():
            folders[name] = with_a_broken_model(folder, tmp_path / name)
    work = Workspace(runner.dataset(stage.config.data), inputs=folders, out=tmp_path, scratch=tmp_path)
    perform = getattr(importlib.import_module(f"dmt_ray.engine.{operation}"), operation)
    with pytest.raises(TrainingFailed, match=rf"model .* gives logits .* for the image '.*': {VARIANCE} holds"):
        perform(stage.config, work)


def with_a_broken_model(folder, copy):
    shutil.copytree(folder, copy)
    weights = load_file(folder / "model.safetensors")
    weights[VARIANCE] = torch.full_like(weights[VARIANCE], float("nan"))
    save_file({name: value.clone() for name, value in weights.items()}, copy / "model.safetensors")
    return copy


def test_a_mean_teacher_that_is_no_number_ends_the_training(machine, tiny, monkeypatch):
    """Its confidences would exceed no threshold, and the loss would be that of the labelled images, unseen."""
    teach = Student.teach

    def broken(self, *given):
        output = teach(self, *given)
        return output._replace(probs=output.probs * float("nan"))

    monkeypatch.setattr(Student, "teach", broken)
    runner = Runner(machine)
    plan = METHODS["fixmatch"](runner.bind(tiny), 0)
    with pytest.raises(TrainingFailed, match="the teacher of model A gives probabilities that are not finite"):
        runner.perform(plan.stages())


@pytest.mark.parametrize(
    ("total", "counted", "expected"),
    [
        pytest.param(6.0, 4.0, 1.5, id="a mean"),
        pytest.param(0.0, 0.0, np.nan, id="no labelled pixel is no divergence"),
        pytest.param(np.nan, 4.0, np.inf, id="a sum that is no number is one"),
        pytest.param(np.nan, 0.0, np.inf, id="without a labelled pixel as well"),
    ],
)
def test_a_loss_of_nothing_differs_from_a_loss_that_is_no_number(total, counted, expected):
    assert mean_loss(total, counted) == pytest.approx(expected, nan_ok=True)
