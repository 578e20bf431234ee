"""A whole RWMS in seconds."""

import json

import numpy as np
import pandas as pd
import pytest

from dmt_ray.config import override
from dmt_ray.execution.runner import Runner
from dmt_ray.methods import configure
from dmt_ray.methods.rwms import rwms
from dmt_ray.plan import Plan, Stage

UNLABELLED = 16


@pytest.fixture(scope="module")
def config(tiny):
    return override(tiny, {"retrain.epochs": 3, "retrain.batch": [2, 6], "retrain.augment.crop": [32, 32]})


@pytest.fixture(scope="module")
def performed(module_machine, config) -> tuple[Runner, Plan]:
    runner = Runner(module_machine)
    plan = rwms(runner.bind(config), 0)
    runner.perform(targets(plan))
    return runner, plan


def targets(plan: Plan) -> list[Stage]:
    return [stage for rung in plan.rungs for stage in rung.values()]


def student(plan: Plan, rung: int) -> Stage:
    return plan.rungs[rung]["A"].inputs["model"]


def test_every_stage_is_there_with_its_files(performed):
    runner, plan = performed
    found = {
        stage.operation.name: {path.name for path in runner.store.path(stage).iterdir()} for stage in plan.stages()
    }
    assert found["assess"] == {"rank.npy", "agreement.csv", "summary.json", "record.json"}
    composed = [runner.store.path(student(plan, rung).inputs["labels"]) for rung in (1, 2)]
    usual = {"labels.npy", "rank.npy", "order.csv", "summary.json", "record.json"}
    assert {path.name for path in composed[0].iterdir()} == {*usual, "images.npy"}
    assert {path.name for path in composed[1].iterdir()} == usual


def test_the_first_student_goes_over_half_of_the_images_and_the_second_over_all(performed):
    runner, plan = performed
    steps = [runner.store.record(student(plan, rung)).made["steps"] for rung in (1, 2)]
    assert steps == [3 * 2, 3 * 3]  # 8 and 16 images, 6 a step, 3 epochs
    assert [runner.work_of(student(plan, rung)) for rung in (1, 2)] == steps


def test_the_history_tells_the_weights_and_no_cases(performed):
    runner, plan = performed
    history = pd.read_csv(runner.store.path(student(plan, 1)) / "history.csv")
    assert not {"agreement", "negative", "positive"} & set(history.columns)
    assert history["mean_weight"].between(0.5, 1).all()
    assert history["pseudo_accuracy"].between(0, 1).all()


def test_the_second_phase_keeps_the_first_labels_of_the_reliable_half(performed):
    runner, plan = performed
    first, second = (runner.store.path(student(plan, rung).inputs["labels"]) for rung in (1, 2))
    chosen = np.load(first / "images.npy")
    labels = [np.load(folder / "labels.npy").reshape(-1, 32, 32) for folder in (first, second)]
    assert (len(chosen), len(labels[1])) == (UNLABELLED // 2, UNLABELLED)
    assert np.array_equal(labels[1][chosen], labels[0])
    renewed = runner.store.path(student(plan, 2).inputs["labels"].inputs["rest"])
    others = np.setdiff1d(np.arange(UNLABELLED), chosen)
    assert np.array_equal(labels[1][others], np.load(renewed / "labels.npy").reshape(-1, 32, 32)[others])


def test_examples_show_ranks_and_leave_images_of_the_later_phase_unlabelled(performed):
    runner, plan = performed
    with np.load(runner.store.path(student(plan, 1)) / "examples.npz", allow_pickle=False) as content:
        examples = dict(content)
    assert not [name for name in examples if name.startswith("confidence")]
    for number in range(len(examples["ids"])):
        labels, ranks = examples[f"label_{number}"], examples[f"rank_{number}"]
        weights = examples[f"weight_{number}"]
        if (labels == 255).all():
            assert not weights.any()
        else:
            assert np.array_equal(weights, np.round(255 * np.exp(-0.5 * (ranks - 1.0))).astype(np.uint8))


def test_without_reweighting_teachers_and_assessment_are_shared(performed, config):
    runner, _ = performed
    executed = runner.perform(targets(rwms(runner.bind(configure(rwms, config, {"weight.b": 0.0})), 0)))
    assert sorted(stage.operation.name for stage in executed) == [
        "compose", "evaluate", "evaluate", "label", "retrain", "retrain",
    ]  # fmt: skip


def test_one_phase_and_lots_are_performed_too(performed, config):
    runner, _ = performed
    for phases, number in (("one", 2), ("random", 3)):
        plan = rwms(runner.bind(override(config, {"phases": phases})), 0)
        runner.perform(targets(plan))
        assert len(plan.rungs) == number
        folder = runner.store.path(student(plan, 1).inputs["labels"])
        summary = json.loads((folder / "summary.json").read_text())
        assert summary["images"] == (UNLABELLED if phases == "one" else UNLABELLED // 2)
        assert 0 < summary["accuracy"] <= 1
