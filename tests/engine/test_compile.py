from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dmt_ray import models
from dmt_ray.config import override
from dmt_ray.data.splits import divide
from dmt_ray.engine.batch_loader import BatchLoader, RngStream
from dmt_ray.engine.pseudo_labels import PseudoLabels
from dmt_ray.engine.weighted_stepper import WeightedStepper
from dmt_ray.engine.workspace import Workspace
from dmt_ray.execution.runner import Machine, Runner
from dmt_ray.methods import METHODS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dataset(tiny, module_machine):
    return Runner(module_machine).dataset(tiny.data)


def stepped(dataset, tiny, compiled: bool) -> tuple[dict[str, torch.Tensor], list[float], torch.nn.Module]:
    """Weights, losses and the network after five steps."""
    work = Workspace(dataset, compiled=compiled)
    parts = divide(tiny.split, tiny.data, dataset)
    pseudo = PseudoLabels(dataset.subsets["train"], parts.unlabelled, None)
    training = tiny.finetune.evolve(precision="float64")  # five steps in float32 enlarge rounding to 1e-3
    loader = BatchLoader(work, training, parts.labelled, pseudo, RngStream(0, "A", 1))
    torch.manual_seed(0)
    network = models.build(tiny.model, len(dataset.classes)).train()
    losses = []
    with WeightedStepper(network, loader, training, tiny.weight, work) as stepper:
        for number in range(5):
            stepper.step(number)
            losses.append(stepper.row(number + 1)["loss"])
    return network.state_dict(), losses, network


def test_a_compiled_network_learns_the_same_to_rounding(dataset, tiny):
    plain, losses, _ = stepped(dataset, tiny, compiled=False)
    compiled, compiled_losses, network = stepped(dataset, tiny, compiled=True)
    assert list(compiled) == list(plain)
    np.testing.assert_allclose(compiled_losses, losses, rtol=1e-5)
    for name, values in plain.items():
        torch.testing.assert_close(compiled[name], values, rtol=1e-5, atol=1e-6, msg=name)
    assert not hasattr(network, "_orig_mod")  # what is saved and scored is the network itself


def test_stages_of_a_compiled_training_are_like_any_other(tiny, pictures, tmp_path):
    changes = {"pretrain.keep": "val", "pretrain.score_every": 5}
    stores = []
    for compiled in (False, True):
        runner = Runner(Machine(tmp_path / str(compiled), pictures, device="cpu", compiled=compiled))
        plan = METHODS["baseline"](runner.bind(override(tiny, changes)), 0)
        runner.perform(stage for rung in plan.rungs for stage in rung.values())
        stores.append(runner.store)
    for stage in plan.stages():
        plain, compiled = (store.path(stage) for store in stores)
        assert [file.name for file in sorted(plain.iterdir())] == [file.name for file in sorted(compiled.iterdir())]
        if stage.operation.name in ("pretrain", "finetune"):
            first, second = (load_file(folder / "model.safetensors") for folder in (plain, compiled))
            assert {name: value.shape for name, value in first.items()} == {n: v.shape for n, v in second.items()}
            models.load(compiled)


def test_a_network_whose_channels_are_dropped_anew_in_every_step_is_not_compiled(tiny, pictures, tmp_path):
    weights = []
    for compiled in (False, True):
        machine = Machine(tmp_path / str(compiled), pictures, device="cpu")
        runner = Runner(machine)
        plan = METHODS["unimatch"](runner.bind(override(tiny, {"pretrain.epochs": 1, "cotrain.epochs": 1})), 0)
        (cotrain,) = [stage for stage in plan.stages() if stage.operation.name == "cotrain"]
        runner.perform([stage for stage in plan.stages() if stage.operation.name == "pretrain"])
        runner = Runner(replace(machine, compiled=compiled))
        runner.perform([cotrain])
        weights.append(load_file(sorted(runner.store.path(cotrain).glob("*.safetensors"))[0]))
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[1][name], values) for name, values in weights[0].items())
