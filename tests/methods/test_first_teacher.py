"""Sequential DMT in which the better model teaches first, performed (Pet study, Sec. 4.2)."""

import json

import pytest

from dmt_ray.execution.runner import Runner
from dmt_ray.methods.mutual import dmt
from dmt_ray.results.scores import score


@pytest.mark.parametrize("first", ["val", "val_each"])
def test_the_model_that_scores_higher_is_picked_whole(machine, tiny, first):
    runner = Runner(machine)
    plan = dmt(runner.bind(tiny.evolve(order="sequential", first=first)), 0)
    runner.perform([stage for rung in plan.rungs for stage in rung.values()])
    picks = [stage for stage in plan.stages() if stage.operation.name == "pick"]
    assert len(picks) == (2 if first == "val" else 4)
    for stage in picks:
        folder = runner.store.path(stage)
        choice = json.loads((folder / "choice.json").read_text())
        scores = {name: score(runner.store, stage.inputs[f"{name}_scores"]) for name in ("first", "second")}
        assert choice["scores"] == scores
        assert (choice["picked"] == "first") == ((scores["first"] >= scores["second"]) == stage.config.better)
        source = runner.store.path(stage.inputs[choice["picked"]])
        for name in ("model.json", "model.safetensors"):
            assert (folder / name).read_bytes() == (source / name).read_bytes()
