"""Students that are trained by teachers that change with them, on small real stages."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from dmt_ray.config import Config, Model, override
from dmt_ray.data.splits import divide
from dmt_ray.engine import cotrain as cotrained
from dmt_ray.engine.batch_loader import RngStream
from dmt_ray.engine.cotrain import CotrainStepper, cotrain
from dmt_ray.engine.ema import average_of, move_average
from dmt_ray.engine.optimizer import Update
from dmt_ray.engine.student import View, places_of, rows_of
from dmt_ray.engine.team import ALONE, Team
from dmt_ray.engine.workspace import Workspace
from dmt_ray.errors import Interrupted, ModelError
from dmt_ray.execution.runner import Runner
from dmt_ray.methods import METHODS
from dmt_ray.plan import Stage
from tests.helpers.teams import in_team

STEPS = 10  # 5 epochs of 2 steps


@pytest.fixture(scope="module")
def runner(module_machine) -> Runner:
    return Runner(module_machine)


@pytest.fixture(scope="module")
def cfg(runner, tiny) -> Config:
    """In double precision, so that what differs is not rounding."""
    changes = {"cotrain.precision": "float64", "cotrain.epochs": 5, "cotrain.batch": [2, 8], "pretrain.epochs": 5}
    return runner.bind(override(tiny, changes).evolve(consistency={}))  # with all of the papers' noise


def stage_of(cfg: Config, method: str, rung: int = 1) -> Stage:
    return METHODS[method](cfg, 0).rungs[rung]["A"].inputs["model"]


def performed(runner: Runner, stage: Stage, folder: Path, team: Team = ALONE, **more) -> Path:
    """The stage's folder, performed here from its inputs in the store."""
    out, scratch = folder / f"out-{team.rank}", folder / f"scratch-{team.rank}"
    out.mkdir(parents=True, exist_ok=True)
    scratch.mkdir(parents=True, exist_ok=True)
    inputs = {name: runner.store.open(needed) for name, needed in stage.inputs.items()}
    work = Workspace(more.pop("dataset", None) or runner.dataset(stage.config.data), team=team, **more)
    cotrain(stage.config, replace(work, inputs=inputs, out=out, scratch=scratch))
    return out


@pytest.mark.parametrize(
    ("method", "students", "averaged"),
    [
        ("mean_teacher", "A", True),
        ("unimatch", "A", False),
        ("unimatch_v2", "A", True),
        ("cps", "AB", False),
        ("rml", "AB", True),
    ],
)
def test_every_student_is_written_and_its_mean_teacher_where_it_has_one(runner, cfg, method, students, averaged):
    stage = stage_of(cfg, method)
    runner.perform([stage])
    written = {path.name for path in runner.store.path(stage).iterdir()} - {"record.json"}
    kinds = ["", "-averaged"] if averaged else [""]
    models = {f"{side}{kind}.safetensors" for side in students for kind in kinds}
    assert written == models | {f"{side}.json" for side in students} | {"history.csv"}
    assert runner.store.record(stage).made["steps"] == STEPS * len(students)


def test_the_history_tells_of_each_student_and_how_far_their_teachers_are_apart(runner, cfg):
    stage = stage_of(cfg, "rml")
    runner.perform([stage])
    rows = pd.read_csv(runner.store.path(stage) / "history.csv")
    parts = ("labelled_loss", "unlabelled_loss", "coverage", "pseudo_accuracy")
    names = {f"{side}.{part}" for side in "AB" for part in parts}
    assert set(rows.columns) == {"step", "epoch", "learning_rate", "loss", "total_variation"} | names
    assert rows["step"].tolist() == [5, 10]
    assert rows["A.coverage"].eq(1).all()  # RML leaves no label out
    assert rows["total_variation"].between(0.001, 1).all()
    means = [rows[f"{side}.labelled_loss"] + rows[f"{side}.unlabelled_loss"] for side in "AB"]
    assert np.allclose(rows["loss"], (means[0] + means[1]) / 2)


def test_the_second_stage_goes_on_from_the_mean_teachers_of_the_first(runner, cfg, tmp_path):
    first, second = stage_of(cfg, "rml", 1), stage_of(cfg, "rml", 2)
    runner.perform([first])
    frozen = replace(second, config=second.config.evolve(training=cfg.cotrain.evolve(learning_rate=1e-12)))
    out = performed(runner, frozen, tmp_path)
    ended, began = (load_file(folder / "A-averaged.safetensors") for folder in (runner.store.path(first), out))
    weights = [name for name in ended if name.endswith("weight")]
    assert all(torch.allclose(began[name], ended[name], atol=1e-6) for name in weights)


@pytest.mark.parametrize("method", ["fixmatch", "rml"])
def test_two_workers_have_the_losses_and_weights_of_one(runner, cfg, tmp_path, method):
    # Noise inside a network is drawn by each worker for itself (decision 12).
    stage = stage_of(cfg.evolve(consistency={"noise": "input"}), method)
    runner.perform(stage.inputs.values())
    one = performed(runner, stage, tmp_path / "one")
    in_team(2, lambda team: performed(runner, stage, tmp_path / "two", team))
    two = tmp_path / "two" / "out-0"
    rows = [pd.read_csv(folder / "history.csv") for folder in (one, two)]
    assert np.allclose(rows[0], rows[1], rtol=1e-4, atol=1e-7, equal_nan=True)
    for name in (path.name for path in one.glob("*.safetensors")):
        expected, found = load_file(one / name), load_file(two / name)
        assert all(torch.allclose(found[key], value, rtol=1e-4, atol=1e-5) for key, value in expected.items())
    assert not list((tmp_path / "two" / "out-1").iterdir())


@pytest.mark.parametrize("method", ["unimatch_v2", "rml"])
def test_a_training_that_was_stopped_goes_on_to_the_same_bytes(runner, cfg, tmp_path, method):
    stage = stage_of(cfg, method)
    runner.perform([stage])
    with pytest.raises(Interrupted, match="at step 5 of 10"):
        performed(runner, stage, tmp_path, stop=lambda: True)
    out = performed(runner, stage, tmp_path)
    for path in runner.store.path(stage).iterdir():
        if path.name != "record.json":
            assert (out / path.name).read_bytes() == path.read_bytes(), path.name


def test_students_that_label_themselves_have_the_average_that_the_settings_ask_for(runner, cfg, tmp_path):
    plain = stage_of(cfg, "cps")
    averaged = METHODS["cps"](cfg.evolve(cotrain=cfg.cotrain.evolve(ema=0.9)), 0).rungs[1]
    stage = averaged["A"].inputs["model"]
    runner.perform([plain, *averaged.values()])
    without, with_average = runner.store.path(plain), runner.store.path(stage)
    for side in "AB":  # the average watches, and changes nothing
        assert (with_average / f"{side}.safetensors").read_bytes() == (without / f"{side}.safetensors").read_bytes()
        last, mean = (load_file(with_average / f"{side}{kind}.safetensors") for kind in ("", "-averaged"))
        assert any(not torch.equal(value, mean[name]) for name, value in last.items())
    assert averaged["A"].config.averaged


def test_a_mean_teacher_is_the_only_average_of_its_student(cfg):
    settings = cfg.evolve(cotrain=cfg.cotrain.evolve(ema=0.9))
    assert not stage_of(settings, "mean_teacher").config.averaged
    assert stage_of(settings, "mean_teacher").config.keeps_average()


@pytest.mark.parametrize("method", ["fixmatch", "unimatch", "rml"])
def test_the_truth_of_unlabelled_images_changes_nothing_but_the_statistics(runner, cfg, tmp_path, method):
    stage = stage_of(cfg, method)
    runner.perform([stage])
    dataset = runner.dataset(stage.config.data)
    train = dataset.subsets["train"]
    masks = train.masks.copy()
    for i in divide(stage.config.split, stage.config.data, dataset).unlabelled:
        masks[train.offsets[i] : train.offsets[i + 1]] = 3
    false = replace(dataset, subsets={**dataset.subsets, "train": replace(train, masks=masks)})
    out, true = performed(runner, stage, tmp_path, dataset=false), runner.store.path(stage)
    assert (out / "A.safetensors").read_bytes() == (true / "A.safetensors").read_bytes()
    assert (out / "history.csv").read_bytes() != (true / "history.csv").read_bytes()


def test_the_best_snapshot_goes_on_where_the_recipe_says_so(runner, cfg, tmp_path):
    training = cfg.cotrain.evolve(keep="val", score_every=5)
    stage = stage_of(cfg.evolve(cotrain=training), "fixmatch")
    runner.perform(stage.inputs.values())
    out = performed(runner, stage, tmp_path)
    scores = pd.read_csv(out / "scores.csv")
    assert scores["step"].tolist() == [5, 10]
    assert scores[["selection_miou", "reported_miou"]].gt(0).all(axis=None)


def test_the_stream_of_perturbed_features_counts_as_much_as_both_strong_views(runner, cfg, tmp_path, monkeypatch):
    stage = stage_of(cfg, "unimatch")
    runner.perform(stage.inputs.values())
    losses = list[float]()
    given = iter([(2, 1, 0), (4, 2, 0), (8, 2, 0)] * STEPS)  # of each view: the loss, its pixels, those that are sure

    def compared(_, log_probs, *__):
        return tuple(log_probs.new_tensor(number) for number in next(given))

    monkeypatch.setattr(CotrainStepper, "_compared", compared)
    monkeypatch.setattr(cotrained, "cross_entropy_sum", lambda log_probs, *_: 0 * log_probs.sum())
    backward = Update.backward
    monkeypatch.setattr(Update, "backward", lambda self, loss: (losses.append(loss.item()), backward(self, loss)))
    performed(runner, stage, tmp_path)
    assert losses == [(2 / 1 + 4 / 2) / 4 + 8 / 2 / 2] * STEPS


def test_two_views_differ_and_the_first_is_that_of_a_method_with_one(runner, cfg):
    dataset = runner.dataset(runner.bind(cfg).data)
    mean, std = Workspace(dataset).statistics()
    images = torch.arange(3 * 3 * 32 * 32, dtype=torch.float32).view(3, 3, 32, 32) / 9216
    rows = rows_of([0, 1, 2], 3)
    places = places_of([], rows, torch.device("cpu"))
    config, stream = stage_of(cfg, "unimatch").config.evolve(boxes="half"), RngStream(0, "A", 1)
    views = [View(stream, config, mean=mean, std=std, number=number) for number in (0, 1)]
    views.append(View(stream, config.evolve(views=1), mean=mean, std=std))
    first, second, alone = (view.of(images, rows, places, epoch=0, first=0) for view in views)
    assert not torch.equal(first[1], second[1])
    assert not torch.equal(first[0], second[0])
    assert torch.equal(first[0], alone[0])


def test_a_rising_decay_lets_the_mean_teacher_forget_its_first_weights_in_the_first_step(runner, cfg, tmp_path):
    stage = stage_of(cfg.evolve(cotrain=cfg.cotrain.evolve(epochs=1, batch=(2, 64))), "unimatch_v2")  # one step
    runner.perform(stage.inputs.values())
    out = performed(runner, stage, tmp_path)
    student, teacher = (load_file(out / f"A{kind}.safetensors") for kind in ("", "-averaged"))
    assert all(torch.equal(value, teacher[name]) for name, value in student.items())


def test_feature_perturbation_of_a_network_without_an_encoder_is_refused_before_work(runner, cfg):
    model = Model(architecture="UNet", encoder="none", arguments={"base": 4})
    stage = stage_of(cfg.evolve(model=model), "unimatch")
    with pytest.raises(ModelError, match="for a network on an encoder, but UNet has none"):
        runner.check_networks([stage])
    assert not runner.store.path(stage.inputs["A"]).exists()


def test_a_mean_teacher_is_the_decayed_mean_of_its_student():
    student = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(student.weight, 1.0)
    teacher = average_of(student)
    torch.nn.init.constant_(student.weight, 2.0)
    move_average(teacher, student, 0.9)
    assert teacher.weight.item() == pytest.approx(0.9 * 1 + 0.1 * 2)
    assert not teacher.weight.requires_grad


def test_batch_norm_statistics_are_averaged_and_its_counter_is_taken_over():
    student = torch.nn.BatchNorm1d(1)
    teacher = average_of(student)
    student.running_mean.fill_(10.0)
    student.num_batches_tracked.fill_(7)
    move_average(teacher, student, 0.5)
    assert (teacher.running_mean.item(), teacher.num_batches_tracked.item()) == (5, 7)


def test_a_worker_looks_at_its_own_rows_and_at_those_that_are_pasted_into_them():
    assert rows_of([0, 1, 2], 3) == ([0, 1, 2], [0, 1, 2], [1, 2, 0])
    assert rows_of([0, 2], 4) == ([0, 2, 1, 3], [0, 1], [2, 3])
    assert rows_of([], 4) == ([], [], [])
    assert rows_of([1], 3, every=True) == ([0, 1, 2], [1], [2])
