"""Every operation on a device that takes CUDA's way through the code and computes as the CPU does; see the helper."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dmt_ray.config import Config, override
from dmt_ray.engine.parallel import spread
from dmt_ray.engine.team import Team
from dmt_ray.engine.workspace import Workspace
from dmt_ray.execution.runner import Runner
from dmt_ray.methods import METHODS
from dmt_ray.plan import Stage
from dmt_ray.recipes import named
from tests.helpers.paths import ROOT
from tests.helpers.pretended_cuda import pretended_cuda

SHORT = {f"{name}.epochs": 1 for name in ("pretrain", "finetune", "online", "cotrain", "retrain")}
SHORT |= {"percentiles": [1.0], "pretrain.batch": [8, 0], "cotrain.batch": [4, 8], "consistency.stages": 1}
COTRAINED = ("mean_teacher", "fixmatch", "unimatch", "unimatch_v2", "cps", "direct_mutual", "iml", "rml")
# Together they go through every operation.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "dmt": ("dmt", {"order": "sequential", "first": "val"}),
    "rwms": ("rwms", {}),
    "labels that are renormalised": ("cbst", {"label": "renormalised"}),
    "labels made online": ("online_st", {}),
    "models together": ("dmt", {"ensemble": True}),
    "labels from elsewhere": ("dst", {"external.masks": "masks"}),  # below the folder of the pictures
    **{method: (method, {}) for method in COTRAINED},
}
SLOW = ("fixmatch", "unimatch", "cps", "direct_mutual", "iml")
HALF = {"finetune.precision": "bfloat16", "cotrain.precision": "bfloat16"}


@pytest.fixture(scope="module")
def runner(module_machine) -> Runner:
    return Runner(module_machine)


@pytest.fixture(scope="module")
def checked() -> set[Stage]:
    """The stages that some test has performed on the device: methods have some in common."""
    return set()


def short(tiny: Config, method: str, changes: dict[str, Any]) -> Config:
    changes = SHORT | changes
    if method not in COTRAINED:
        del changes["consistency.stages"]
    return override(tiny, changes)


def performed(runner: Runner, stage: Stage, folder: Path) -> dict[str, bytes]:
    """The files of a stage as the device makes them of the inputs in the store."""
    out, scratch = folder / stage.key / "out", folder / stage.key / "scratch"
    for path in (out, scratch):
        path.mkdir(parents=True)
    inputs = {name: runner.store.open(needed, files=True) for name, needed in stage.inputs.items()}
    dataset = runner.dataset(stage.config.data)
    work = Workspace(dataset, torch.device("cuda"), seed=stage.seed, inputs=inputs, out=out, scratch=scratch)
    name = stage.operation.name
    getattr(importlib.import_module(f"dmt_ray.engine.{name}"), name)(stage.config, work)
    return contents(out)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.name != "record.json"}


def check(runner: Runner, cfg: Config, method: str, checked: set[Stage], folder: Path) -> None:
    stages = METHODS[method](runner.bind(cfg), 0).stages()
    runner.perform(stages)
    last = {stage.operation.name: stage for stage in stages}
    for stage in stages:
        if stage in checked or (stage.operation.name == "evaluate" and stage is not last["evaluate"]):
            continue
        with pretended_cuda():
            found = performed(runner, stage, folder)
        assert found == contents(runner.store.path(stage)), stage.name
        checked.add(stage)


@pytest.mark.parametrize("case", [pytest.param(case, marks=pytest.mark.slow if case in SLOW else ()) for case in CASES])
def test_an_operation_on_cuda_makes_the_files_of_a_cpu(runner, tiny, case, checked, tmp_path, pictures):
    method, changes = CASES[case]
    changes = {name: str(pictures / value) if name == "external.masks" else value for name, value in changes.items()}
    check(runner, short(tiny, method, changes), method, checked, tmp_path)


@pytest.mark.slow
def test_classification_on_cuda_makes_the_files_of_a_cpu(runner, checked, tmp_path):
    changes = {**SHORT, "pretrain.batch": [30, 0], "percentiles": [0.2]}
    augment = {"finetune.augment.mixup": 0.75, "finetune.augment.strong": "any", "finetune.ema": 0.99}
    del changes["cotrain.batch"], changes["cotrain.epochs"], changes["consistency.stages"]
    check(runner, override(named("digits"), changes | augment), "dst", checked, tmp_path)


def test_the_cases_go_through_every_operation(tiny):
    operations = {file.stem for file in (ROOT / "dmt_ray/plan/operations").glob("*.py")} - {"__init__", "common"}
    operations.remove("score")  # of a model as it is used: of no plan
    plans = [METHODS[method](short(tiny, method, changes), 0) for method, changes in CASES.values()]
    assert {stage.operation.name for plan in plans for stage in plan.stages()} == operations


@pytest.mark.parametrize("method", ["dst", "rml"])
def test_half_precision_takes_cudas_way(runner, tiny, method, tmp_path):
    cfg = runner.bind(short(tiny, method, HALF))
    stages = METHODS[method](cfg, 0).stages()
    stage = next(one for one in stages if one.operation.name in ("finetune", "cotrain"))
    runner.perform(stage.inputs.values())
    with pretended_cuda() as seen:
        performed(runner, stage, tmp_path)
    assert "bfloat16" in seen.dtypes


class Pair(Team):
    """A team of two, of which the other's sums are 1."""

    def add(self, tensor: Tensor) -> Tensor:
        return tensor.add_(1)

    def rows(self, row: Tensor) -> Tensor:
        return torch.stack([row, torch.ones_like(row)])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("count", [3, 0])
def test_batch_statistics_of_a_team_on_cuda_are_those_of_a_cpu(monkeypatch, layout, affine, count):
    monkeypatch.setattr("dmt_ray.engine.parallel.DistributedDataParallel", lambda network, **_: network)
    torch.manual_seed(0)
    images = torch.randn(count, 4, 5, 5)

    def trained(device: str) -> list[Tensor]:
        norm = spread(torch.nn.BatchNorm2d(4, affine=affine), Pair(0, 2)).to(device)
        x = images.clone().to(device).to(memory_format=layout).requires_grad_()
        (norm(x) ** 3).sum().backward()
        gradients = [x.grad, *(parameter.grad for parameter in norm.parameters())]
        return [value.cpu() for value in (*gradients, norm.running_mean, norm.running_var)]

    on_cpu = trained("cpu")
    with pretended_cuda():
        on_cuda = trained("cuda")
    assert len(on_cuda) == (5 if affine else 3)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(on_cuda, on_cpu, strict=True))


# Each has a CUDA kernel, and goes through the tests above.
PRIVATE = {"torch.ops.aten.native_batch_norm_backward", "torch._foreach_lerp_", "nn.modules.batchnorm._BatchNorm"}


def test_private_parts_of_torch_are_those_that_were_looked_at():
    private = re.compile(r"torch\.ops\.[\w.]+|\btorch(?:\.\w+)*\._[a-zA-Z]\w*|\bnn(?:\.\w+)*\._\w+")
    files = (ROOT / "dmt_ray").rglob("*.py")
    assert {found for file in files for found in private.findall(file.read_text(encoding="utf-8"))} == PRIVATE


def test_tensors_of_both_devices_do_not_mix():
    with pretended_cuda():
        there, here = torch.ones(3, device="cuda"), torch.ones(3)
        for mixed in (lambda: there + here, lambda: there.gather(0, here.long()), lambda: torch.cat([there, here])):
            with pytest.raises(RuntimeError, match="same device"):
                mixed()
        assert (there + torch.tensor(1.0)).tolist() == [2, 2, 2]  # a single number travels with the call


def test_what_only_cuda_refuses_is_refused():
    with pretended_cuda():
        x, one = torch.ones(2, 1, 1, 1, device="cuda"), torch.ones(1, device="cuda")
        with pytest.raises(RuntimeError, match="save_mean"):
            torch.ops.aten.native_batch_norm_backward(x, x, one, one, one, None, None, False, 1e-5, [True] * 3)
        with pytest.raises(RuntimeError, match="not implemented for 'UInt16'"):
            torch.zeros(2, dtype=torch.uint16, device="cuda") + 1
