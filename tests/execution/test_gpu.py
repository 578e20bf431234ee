"""Deterministic algorithms, and what a GPU cannot do in plain words; neither changes a number on a CPU."""

import os
from dataclasses import replace

import pytest
import torch

from dmt_ray.config import override
from dmt_ray.engine.workspace import Workspace
from dmt_ray.errors import ConfigError, TrainingFailed
from dmt_ray.execution.gpu import deterministic, gpu_errors
from dmt_ray.execution.options import Options
from dmt_ray.execution.runner import Runner
from dmt_ray.methods import METHODS
from tests.helpers.noise import noise


@pytest.fixture
def work() -> Workspace:
    return replace(noise([(8, 8)], 2), eval_batch=5)


def test_deterministic_algorithms_are_required_inside_and_only_there(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    with deterministic(False):
        assert not torch.are_deterministic_algorithms_enabled()
    with deterministic(True):
        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert not torch.are_deterministic_algorithms_enabled()


def test_an_operation_without_a_deterministic_algorithm_is_named(work):
    with pytest.raises(TrainingFailed, match="uses put_, for which torch has no deterministic algorithm"):  # noqa: SIM117
        with gpu_errors(work), deterministic(True):
            raise RuntimeError("put_ does not have a deterministic implementation, but you set 'torch.use_...'")


def test_full_memory_names_the_option_that_helps(work):
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 15.00 GiB. GPU 0 has 80 GiB in all.")
    with pytest.raises(TrainingFailed, match=r"CUDA out of memory.*smaller --eval-batch \(it is 5\)"), gpu_errors(work):
        raise error


def test_other_errors_stay_as_they_are(work):
    with pytest.raises(RuntimeError, match=r"^another$"), gpu_errors(work):
        raise RuntimeError("another")


def test_a_batch_of_no_images_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="--eval-batch must be 1 or more, but got 0"):
        Options(storage=tmp_path, eval_batch=0)


def test_neither_option_changes_a_byte_on_a_cpu_and_the_record_tells_of_them(machine, tiny):
    short = {"pretrain.epochs": 1, "finetune.epochs": 1, "percentiles": [1.0]}
    plain = Runner(machine)
    plan = METHODS["dst"](plain.bind(override(tiny, short)), 0)
    exact = Runner(replace(machine, store=machine.store.with_name("exact"), deterministic=True))
    small = Runner(replace(machine, store=machine.store.with_name("small"), eval_batch=3))
    for runner in (plain, exact, small):
        runner.perform(plan.stages())
    for stage in plan.stages():
        records = [runner.store.record(stage) for runner in (plain, exact)]
        assert records[0].files == records[1].files
        assert [record.made["deterministic"] for record in records] == [False, True]
    labels = next(stage for stage in plan.stages() if stage.operation.name == "label")
    assert small.store.record(labels).made["eval_batch"] == 3
    whole, parts = ((runner.store.path(labels) / "labels.npy").read_bytes() for runner in (plain, small))
    assert sum(a == b for a, b in zip(whole, parts, strict=True)) > 0.999 * len(whole)
