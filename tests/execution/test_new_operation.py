"""A new operation is two files: what it is, in plan/operations; and what it does, in engine."""

import importlib
import json
from pathlib import Path

import pytest

import dmt_ray.engine
from dmt_ray.execution import calibration
from dmt_ray.execution.cost import Estimator
from dmt_ray.execution.runner import Runner
from dmt_ray.execution.worker_group import assign
from dmt_ray.experiments import reuse
from dmt_ray.methods import baseline
from dmt_ray.plan import Plan, Stage, operations
from dmt_ray.plan.operations import evaluate
from dmt_ray.results.scores import history, score

PLAN = '''
from dmt_ray.config import Config
from dmt_ray.plan import Evictable, ImageCounts, Operation, Stage, TrainingSlice
from dmt_ray.plan.files import MODEL, weights_of


class Shrink(TrainingSlice):
    """What shrinking reads."""

    operation = Operation("shrink", revision=1)
    follows = "model"
    evictable = Evictable(weights=(*weights_of(MODEL), "before.safetensors"))
    factor: float

    def work(self, images: ImageCounts) -> int:
        return 3


def shrink(cfg: Config, *, model: Stage, factor: float) -> Stage:
    """All weights of a model, multiplied by a factor in three steps."""
    return Shrink.stage(cfg, model.seed, {"model": model}, training=cfg.finetune, factor=factor)
'''
ENGINE = """
import shutil

import torch

from dmt_ray import models
from dmt_ray.engine.history import write_rows
from dmt_ray.engine.workspace import Workspace
from dmt_ray.plan.files import HISTORY
from dmt_ray.plan.operations.shrink import Shrink


def shrink(config: Shrink, work: Workspace) -> int:
    network, description = models.load(work.inputs["model"])
    with torch.no_grad():
        for weights in network.parameters():
            weights *= config.factor
    models.save(network, work.out, description)
    shutil.copyfile(work.inputs["model"] / "model.safetensors", work.out / "before.safetensors")
    write_rows(work.out / HISTORY, [{"step": 3, "loss": 0.5}])
    work.progress(3, 3)
    return 3
"""


@pytest.fixture
def shrink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The operation, for as long as a test takes."""
    for package, text in ((operations, PLAN), (dmt_ray.engine, ENGINE)):
        folder = tmp_path / package.__name__
        folder.mkdir()
        (folder / "shrink.py").write_text(text)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    importlib.invalidate_caches()
    return importlib.import_module("dmt_ray.plan.operations.shrink").shrink


@pytest.fixture
def performed(shrink, machine, tiny) -> tuple[Runner, Plan, Stage]:
    runner = Runner(machine)
    cfg = runner.bind(tiny)
    shrunk = shrink(cfg, model=baseline(cfg, 0).rungs[0]["A"].inputs["model"], factor=0.5)
    plan = Plan([{"A": evaluate(cfg, model=shrunk)}])
    runner.perform(plan.stages())
    return runner, plan, shrunk


def test_it_is_performed_scored_and_shown(performed):
    runner, plan, shrunk = performed
    assert runner.store.record(shrunk).made["steps"] == 3
    assert 0 <= score(runner.store, plan.rungs[0]["A"]) <= 1
    assert history(runner.store, shrunk)["loss"].tolist() == [0.5]
    assert json.loads((runner.store.open(shrunk) / "model.json").read_text())["side"] == plan.rungs[0]["A"].side == "A"


def test_its_work_is_counted_and_shared_out(performed):
    runner, plan, shrunk = performed
    pretrained = shrunk.inputs["model"]
    assert runner.work_of(shrunk) == 3
    assert Estimator(runner.store, runner.work_of)([shrunk]).steps == 3
    assert reuse.compute(plan.stages(), runner.work_of) == 3 + runner.work_of(pretrained)
    assert shrunk.networks() == [pretrained.config.model]
    assert calibration.BareSteps(runner)(shrunk) > 0
    assert [wave.stages() for wave in assign([shrunk], [shrunk])] == [(shrunk,)]


def test_its_files_go_where_space_is_needed(performed):
    runner, plan, shrunk = performed
    gone = runner.store.gc(0, keep=[stage for stage in plan.stages() if stage != shrunk]).evicted
    assert gone == (f"{shrunk.name}/model.safetensors", f"{shrunk.name}/before.safetensors")
