import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from dmt_ray.config import Config, override
from dmt_ray.engine.workspace import Workspace
from dmt_ray.errors import ConfigError, DataError, ModelError, TrainingFailed
from dmt_ray.execution import calibration
from dmt_ray.execution import runner as runner_module
from dmt_ray.execution.network_notes import NetworkNotes
from dmt_ray.execution.runner import Machine, Runner
from dmt_ray.execution.training_checks import too_large_crops
from dmt_ray.methods import METHODS, baseline, dmt
from dmt_ray.plan.operations.finetune import Finetune
from dmt_ray.plan.operations.pretrain import Pretrain
from dmt_ray.recipes import named
from dmt_ray.results.scores import history, metrics, rung_score, score, summary


def files_of(store, stage):
    return {path.name: path.read_bytes() for path in store.path(stage).iterdir() if path.name != "record.json"}


def targets(plan):
    return [stage for rung in plan.rungs for stage in rung.values()]


@pytest.fixture(scope="module")
def performed(module_machine, tiny):
    """A whole tiny DMT, computed once for this file."""
    runner = Runner(module_machine)
    plan = dmt(runner.bind(tiny), 0)
    runner.perform(targets(plan))
    return runner, plan


def test_a_plan_is_performed_once(performed):
    runner, plan = performed
    assert runner.perform(targets(plan)) == []
    assert runner.store.missing(plan.stages()) == []


def test_a_second_trial_computes_only_what_gamma_changes(performed, tiny):
    runner, _ = performed
    other = dmt(runner.bind(tiny.with_weight(gamma1=1)), 0)
    executed = runner.perform(targets(other))
    assert sorted(stage.operation.name for stage in executed) == sorted(
        ["finetune"] * 4 + ["evaluate"] * 4 + ["label"] * 2
    )


def test_a_worker_goes_on_with_another_stage_while_somebody_computes_the_first(machine, tiny, monkeypatch):
    runner = Runner(machine)
    rung = dmt(runner.bind(tiny), 0).rungs[0]
    computed = []

    def compute(stage, beat):
        with runner.store.write(stage, {"seconds": 1.0}) as folder:
            (folder / "file").write_text(stage.key)
        computed.append(f"{stage.operation.name} {stage.side}")

    monkeypatch.setattr(runner, "compute", compute)
    first = rung["A"].inputs["model"]
    worker = threading.Thread(target=runner.perform, args=(list(rung.values()),))
    with runner.store.lease(first) as lease:
        assert lease.held
        worker.start()
        end = time.monotonic() + 60
        while len(computed) < 2:
            assert time.monotonic() < end
            time.sleep(0.01)
        worker.join(0.1)
        assert worker.is_alive()  # nothing is left but what needs the first
        assert computed == ["pretrain B", "evaluate B"]
    worker.join(60)
    assert computed[2:] == ["pretrain A", "evaluate A"]


def test_every_stage_holds_what_the_readme_of_the_store_promises(performed):
    runner, plan = performed
    for stage in plan.stages():
        expected = {
            "pretrain": {"model.safetensors", "model.json", "history.csv"},
            "finetune": {"model.safetensors", "model.json", "history.csv", "examples.npz"},
            "label": {"labels.npy", "confidence.npy", "summary.json"},
            "evaluate": {"metrics.json"},
        }[stage.operation.name]
        assert set(files_of(runner.store, stage)) == expected
        made = runner.store.record(stage).made
        assert made["steps"] > 0
        assert made["seconds"] > 0
        assert "torch" in made["versions"]


def test_the_score_of_a_rung_is_the_mean_of_its_models(performed):
    runner, plan = performed
    rung = plan.rungs[-1]
    scores = [score(runner.store, rung[side]) for side in ("A", "B")]
    assert rung_score(runner.store, rung) == pytest.approx(sum(scores) / 2)
    assert 0 < scores[0] < 1


def test_the_miou_of_an_evaluation_follows_from_its_confusion_matrix(performed):
    runner, plan = performed
    found = metrics(runner.store, plan.rungs[0]["A"])["reported"]
    matrix = np.array(found["confusion"])
    hits, union = matrix.diagonal(), matrix.sum(0) + matrix.sum(1) - matrix.diagonal()
    assert found["miou"] == pytest.approx(np.mean(hits[union > 0] / union[union > 0]))
    assert matrix.sum() == found["images"] * 32 * 32


def test_the_shares_of_the_three_cases_add_up_to_one(performed):
    runner, plan = performed
    rows = history(runner.store, plan.rungs[1]["A"].inputs["model"])
    assert list(rows["step"]) == [5, 10, 12]
    assert np.allclose(rows[["agreement", "negative", "positive"]].sum(axis=1), 1)
    assert rows["mean_weight"].between(0, 1).all()


def test_half_of_the_pixels_of_every_predicted_class_are_kept_at_percentile_one_half(performed):
    runner, plan = performed
    found = summary(runner.store, plan.rungs[1]["A"].inputs["model"].inputs["labels"])
    for predicted, coverage in zip(found["predicted"], found["coverage"], strict=True):
        assert (coverage is None) == (predicted == 0)
        assert coverage is None or 0.5 <= coverage < 0.56  # ties at the threshold are kept
    assert 0 < found["accuracy"] <= 1


def test_all_pixels_are_kept_at_percentile_one(performed):
    runner, plan = performed
    folder = runner.store.open(plan.rungs[2]["A"].inputs["model"].inputs["labels"])
    labels = np.load(folder / "labels.npy", mmap_mode="r")
    assert labels.max() < 6
    assert labels.dtype == np.uint8
    assert summary(runner.store, plan.rungs[2]["A"].inputs["model"].inputs["labels"])["kept"] == 1


def test_the_same_plan_gives_the_same_bytes_in_another_store(performed, machine, tiny):
    runner, plan = performed
    other = Runner(machine)
    stages = plan.stages()[:7]
    other.perform(stages)
    for stage in stages:
        assert files_of(other.store, stage) == files_of(runner.store, stage), stage


class Killed(BaseException):
    """Stands for SIGKILL in a test that must go on: nothing in the product catches it."""


@pytest.mark.parametrize("operation", ["pretrain", "finetune"])
def test_a_training_that_is_killed_midway_goes_on_to_the_same_bytes(performed, machine, tiny, monkeypatch, operation):
    runner, plan = performed
    monkeypatch.setattr("dmt_ray.engine.workspace.Workspace", functools.partial(Workspace, checkpoint_seconds=0.0))
    stage = next(stage for stage in plan.stages() if stage.operation.name == operation)
    steps_seen = []

    def kill_late(running, step, steps):
        if running == stage:
            steps_seen.append(step)
            if step == steps * 4 // 5:
                raise Killed

    with pytest.raises(Killed):
        Runner(machine, kill_late).perform([stage])
    killed_at = steps_seen[-1]
    steps_seen.clear()
    again = Runner(machine, lambda running, step, steps: steps_seen.append(step) if running == stage else None)
    again.perform([stage])
    assert 1 < steps_seen[0] <= killed_at  # from the last checkpoint, not from the start
    assert files_of(again.store, stage) == files_of(runner.store, stage)


def test_a_crash_after_some_stages_costs_none_of_them(performed, machine, tiny):
    plan = performed[1]
    begun = []

    def crash(stage, step, steps):
        begun.append(stage)
        if len(set(begun)) == 4:
            raise Killed

    with pytest.raises(Killed):
        Runner(machine, crash).perform(targets(plan))
    finished = list(dict.fromkeys(begun))[:3]
    executed = Runner(machine).perform(targets(plan))
    assert set(executed).isdisjoint(finished)
    assert set(executed) | set(finished) == set(plan.stages())


@pytest.mark.slow
def test_sigkill_leaves_a_store_that_goes_on(machine, tmp_path):
    command = [
        sys.executable,
        "-m",
        "dmt_ray.cli",
        "run",
        "--storage",
        str(machine.store),
        "--set",
        "pretrain.epochs=4",
    ]
    command += ["--set", "percentiles=[1.0]", "--threads", "1"]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(machine.store.glob("stages/label/*/record.json")):
        assert first.poll() is None
        time.sleep(0.05)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    there = {path.parent.name for path in machine.store.glob("stages/*/*/record.json")}
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"{len(there)} found in" in done.stdout
    assert not list((machine.store / "leases").glob("*.json"))
    # What the killed process was writing lies aside, where nobody takes it for a stage, until it is tidied up.
    Runner(machine).store.gc(10**12)
    assert not list((machine.store / "staging").iterdir())


def test_a_damaged_stage_is_set_aside_and_computed_again(performed, machine, tiny, caplog):
    runner = Runner(machine)
    plan = performed[1]
    pretrained, evaluation = plan.stages()[0], plan.stages()[1]
    runner.perform([pretrained])
    weights = runner.store.path(pretrained) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    os.utime(weights, ns=(0, 0))
    executed = runner.perform([evaluation])
    assert executed == [pretrained, evaluation]
    assert "damaged" in caplog.text


def test_a_loss_that_is_not_a_number_ends_the_stage_with_a_reason(machine, tiny):
    runner = Runner(machine)
    cfg = runner.bind(override(tiny, {"pretrain.learning_rate": 1e30, "pretrain.epochs": 3}))
    with pytest.raises(TrainingFailed, match=r"the loss became NaN or infinite before step 3 of 3.*Try a smaller"):
        runner.perform(targets(baseline(cfg, 0)))
    assert not list((machine.store / "stages").glob("*/*"))


def test_truth_of_unlabelled_images_never_reaches_the_training(performed, machine, tiny):
    """With other masks behind the unlabelled images the trained weights keep their bytes."""
    runner, plan = performed
    stages = [stage for stage in plan.stages() if stage.operation.name in ("pretrain", "label")][:2]
    student = plan.rungs[1]["A"].inputs["model"]
    other = Runner(machine)
    dataset = other.dataset(student.config.data)
    train = dataset.subsets["train"]
    labelled = set(runner_module.divide(student.config.split, student.config.data, dataset).labelled)
    before = train.masks.copy()
    try:
        for i in set(range(len(train))) - labelled:
            train.mask(i)[:] = 5 - np.minimum(train.mask(i), 5)
        other.perform([student])
    finally:
        train.masks[:] = before
    assert stages
    same = files_of(other.store, student)
    assert same["model.safetensors"] == files_of(runner.store, student)["model.safetensors"]
    assert same["history.csv"] != files_of(runner.store, student)["history.csv"]  # its accuracy column did change


@pytest.mark.parametrize("rule", ["global", "renormalised"])
def test_the_other_ways_to_select_labels_run(module_machine, tiny, rule):
    runner = Runner(module_machine)
    plan = METHODS["cbst"](runner.bind(tiny.evolve(label=rule)), 0)
    runner.perform(targets(plan))
    kept = summary(runner.store, plan.rungs[1]["A"].inputs["model"].inputs["labels"])["kept"]
    assert 0.3 < kept < 0.7


def test_the_kept_snapshot_is_the_best_one(module_machine, tiny):
    runner = Runner(module_machine)
    changes = {"pretrain.keep": "paper", "pretrain.score_every": 1, "pretrain.epochs": 5}
    plan = baseline(runner.bind(override(tiny, changes)), 0)
    runner.perform(targets(plan))
    scores = [line.split(",") for line in (runner.store.path(plan.stages()[0]) / "scores.csv").read_text().split()[1:]]
    assert score(runner.store, plan.rungs[0]["A"], "reported") == max(float(row[2]) for row in scores)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"model.encoder": "resnet19"}, ModelError, "no encoder 'resnet19'; did you mean 'resnet1"),
        ({"model.encoder": "tu-resnet19zz"}, ModelError, "timm has no network"),
        ({"model.architecture": "UNet"}, ModelError, "the U-Net on an encoder is called 'Unet'"),
        ({"model.arguments": {"depth": 3}}, ModelError, "cannot be built"),
        ({"model.weights_file": "none.safetensors"}, ModelError, "cannot read the weights file"),
        ({"model.weights_file": "weights.pth"}, ModelError, "cannot read|come as .safetensors"),
        (
            {
                "model": {"architecture": "FPN", "encoder": "resnet18", "arguments": {}},
                "pretrain.augment.crop": [60, 60],
            },
            ModelError,
            r"cannot take crops of \(60, 60\): .*divisible by 32",
        ),
        (
            {"model": {"architecture": "UNet", "encoder": "none", "arguments": {"base": 4}, "frozen": True}},
            ModelError,
            "model.frozen is for a network on an encoder, but UNet has none",
        ),
        (
            {
                "model": {
                    "architecture": "SETR",
                    "encoder": "vit_tiny_patch16_224",
                    "arguments": {},
                    "frozen_statistics": True,
                }
            },
            ModelError,
            "frozen_statistics is for an encoder with BatchNorm, but vit_tiny_patch16_224 has none",
        ),
        (
            {"model": {"architecture": "UNet", "encoder": "none", "arguments": {}}, "finetune.encoder_rate": 0.1},
            ModelError,
            "encoder_rate and head_rate are for a network on an encoder, but UNet has none",
        ),
        (
            {"model": {"architecture": "DPT", "encoder": "tu-convnext_tiny", "arguments": {}}},
            ModelError,
            "DPT needs a Vision Transformer, such as tu-vit_small_patch14_dinov2, but got 'tu-convnext_tiny'",
        ),
        (
            {
                "model": {
                    "architecture": "DPT",
                    "encoder": "tu-vit_small_patch14_dinov2",
                    "arguments": {},
                    "encoder_weights": "lvd124m",
                }
            },
            ModelError,
            "no weights 'lvd124m' for the encoder tu-vit_small_patch14_dinov2; did you mean 'lvd142m'",
        ),
        (
            {"model.encoder_weights": "imagenet-lite0"},
            ModelError,
            "for the encoder tu-tf_efficientnet_lite0, but got tu-test_r",
        ),
        ({"model.encoder_weights": "imagnet"}, ModelError, r"no weights 'imagnet' for .*; did you mean 'imagenet'"),
        (
            {"model.encoder_weights": "imagenet", "model.weights_file": "mine.safetensors"},
            ModelError,
            "both set the initial weights; set one of them to null",
        ),
        ({"split.labelled": 5000}, DataError, "5000"),
        ({"split.selection": "valtiny"}, DataError, "valtiny"),
        ({"data": {"name": "camvid"}}, DataError, "camvid"),
    ],
)
def test_what_cannot_work_is_said_before_any_work_starts(machine, tiny, monkeypatch, changes, error, message):
    monkeypatch.delenv("DMT_DATA", raising=False)
    runner = Runner(machine)
    with pytest.raises(error, match=message):
        runner.check(METHODS["dmt"](runner.bind(override(tiny, changes)), 0).stages())


def test_float16_is_refused_without_a_gpu_before_any_training(machine, tiny):
    runner = Runner(replace(machine, device="cpu"))
    plan = baseline(runner.bind(override(tiny, {"pretrain.precision": "float16"})), 0)
    with pytest.raises(ConfigError, match="precision 'float16' is for GPUs, but the device is 'cpu'; use 'bfloat16'"):
        runner.perform(targets(plan))


def test_an_encoder_that_is_frozen_at_random_weights_is_a_warning(machine, tiny, caplog):
    Runner(machine).bind(override(tiny, {"model.frozen": True}))
    assert "would keep its random weights; set model.encoder_weights" in caplog.text


@pytest.mark.parametrize(("crop", "warned"), [((32, 48), False), ((32, 64), True)])
def test_crops_that_no_image_fills_are_a_warning(machine, tiny, caplog, crop, warned):
    """Images of 32 x 32, resized by at most 1.5."""
    runner = Runner(machine)
    cfg = runner.bind(override(tiny, {"pretrain.augment.crop": list(crop), "pretrain.augment.scale": [0.5, 1.5]}))
    runner.check(baseline(cfg, 0).stages())
    sentence = "crops are 32 x 64 pixels, and the largest training image is 32 x 32, resized by at most 1.5"
    assert (sentence in caplog.text) == warned
    assert ("padding" in caplog.text) == warned
    assert ("Pass --set crop=[32,32], or have the line crop: [32, 32] in the recipe file" in caplog.text) == warned


@pytest.mark.parametrize(
    ("crop", "fitting"),
    [
        pytest.param((96, 32), "[32,32]", id="the sides that are too large"),
        pytest.param((64, 96), "[64,32]", id="a multiple of 32"),
    ],
)
def test_the_crop_that_is_proposed_is_one_that_images_fill(machine, tiny, crop, fitting):
    """Images of 32 x 32, resized by at most 2.5, thus 80."""
    dataset = Runner(machine).dataset(tiny.data)
    training = tiny.pretrain.evolve(augment=tiny.pretrain.augment.evolve(crop=crop, scale=(0.5, 2.5)))
    (sentence,) = too_large_crops([training, training], dataset)
    assert f"--set crop={fitting}, " in sentence


@pytest.mark.parametrize(("crop", "proposed"), [((64, 64), ["[32,32]"]), ((32, 32), [])])
def test_a_crop_that_is_proposed_for_small_images_is_still_one_that_networks_take(tiny, crop, proposed):
    dataset = SimpleNamespace(subsets={"train": SimpleNamespace(sizes=np.array([[30, 40], [20, 40]]))})
    training = tiny.pretrain.evolve(augment=tiny.pretrain.augment.evolve(crop=crop, scale=(1.0, 1.0)))
    said = too_large_crops([training], dataset)
    assert [sentence.partition("--set crop=")[2].partition(", ")[0] for sentence in said] == proposed


def test_a_device_that_is_not_there_is_refused(machine, tiny):
    with pytest.raises(ConfigError, match="no device 'cuda:99'"):
        Runner(replace(machine, device="cuda:99")).bind(tiny)


def test_own_weights_are_started_from(performed, machine, tiny):
    runner, plan = performed
    pretrained = runner.store.path(plan.stages()[0]) / "model.safetensors"
    other = Runner(machine)
    cfg = other.bind(override(tiny, {"model.weights_file": str(pretrained), "pretrain.learning_rate": 1e-9}))
    started = baseline(cfg, 0)
    other.perform(targets(started))
    assert cfg.model.weights_digest
    assert other.store.path(started.stages()[0]).exists()
    description = json.loads((other.store.path(started.stages()[0]) / "model.json").read_text())
    assert description["model"]["weights_file"] is None  # where they lay is nobody's business later


def test_work_is_counted_in_steps_and_images(performed):
    runner, plan = performed
    for stage in plan.stages():
        assert runner.work_of(stage) == runner.store.record(stage).made["steps"]
    assert isinstance(plan.stages()[0].config, Pretrain)
    assert any(isinstance(stage.config, Finetune) for stage in plan.stages())


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        pytest.param("rml", {}, id="two students in a stage"),
        pytest.param("mean_teacher", {}, id="one student"),
        pytest.param("rwms", {"reliable": 0.3}, id="some images first"),
        pytest.param("oracle", {}, id="all true labels"),
        pytest.param("pseudo_label", {}, id="labels made online"),
        pytest.param("dmt", {"order": "sequential", "first": "val"}, id="a choice between models"),
        pytest.param("cbst", {"finetune": {"matched": True}}, id="batches that match the lists"),
    ],
)
def test_work_is_known_before_it_is_done(module_machine, tiny, method, changes):
    runner = Runner(module_machine)
    plan = METHODS[method](runner.bind(override(tiny, changes)), 0)
    runner.perform(targets(plan))
    for stage in plan.stages():
        assert runner.work_of(stage) == runner.store.record(stage).made["steps"], stage


def test_work_is_known_where_only_the_surest_images_have_labels(module_machine):
    runner = Runner(replace(module_machine, data=None))
    short = {f"{name}.epochs": 1 for name in ("pretrain", "retrain")}
    plan = METHODS["dmt"](runner.bind(override(named("digits"), {"percentiles": [0.3, 0.7], **short})), 0)
    runner.perform(targets(plan))
    for stage in plan.stages():
        assert runner.work_of(stage) == runner.store.record(stage).made["steps"], stage


def checked(machine: Machine, method: str, config: Config) -> None:
    runner = Runner(machine)
    runner.check(METHODS[method](runner.bind(config), 0).stages())


def test_only_the_trainings_of_the_method_are_checked(module_machine, tiny):
    fpn = {"model": {"architecture": "FPN", "arguments": {}}}
    config = override(tiny, fpn | {"cotrain.augment.crop": [60, 60]})
    checked(module_machine, "dmt", config)
    with pytest.raises(ModelError, match=r"cannot take crops of \(60, 60\)"):
        checked(module_machine, "rml", config)
    with pytest.raises(ModelError, match=r"cannot take crops of \(60, 60\)"):
        checked(module_machine, "dmt", override(tiny, fpn | {"finetune.augment.crop": [60, 60]}))


def test_only_the_networks_of_the_method_are_checked(module_machine, tiny):
    config = override(tiny, {"model_b": {"architecture": "Unett", "encoder": "resnet18"}})
    checked(module_machine, "dst", config)
    with pytest.raises(ModelError, match="no architecture 'Unett'"):
        checked(module_machine, "dmt", config)


def test_halves_of_labelled_images_are_checked_where_they_are_drawn(module_machine, tiny):
    config = override(tiny, {"split.labelled": 1, "dms_alpha": 0.6})
    checked(module_machine, "dst", config)
    with pytest.raises(DataError, match="would see no images: label more"):
        checked(module_machine, "dmt", config)


def test_a_network_that_was_found_to_fit_is_not_built_again(machine, tiny, monkeypatch):
    built = []
    monkeypatch.setattr("dmt_ray.execution.network_check.check_network", lambda *what: built.append(what[2]))
    checked(machine, "dmt", tiny)
    checked(machine, "dmt", tiny)
    assert built == [(32, 32)]
    checked(machine, "dmt", override(tiny, {"finetune.augment.crop": [16, 16]}))
    checked(machine, "dmt", override(tiny, {"model.arguments.decoder_channels": [64, 48, 32, 24]}))
    assert built == [(32, 32), (16, 16), (32, 32)]
    monkeypatch.setattr("dmt_ray.execution.network_notes.versions", lambda: {"torch": "9.9"})
    checked(machine, "dmt", tiny)
    assert built == [(32, 32), (16, 16), (32, 32), (32, 32)]


def test_a_network_that_does_not_fit_is_refused_again(machine, tiny):
    for _ in range(2):
        with pytest.raises(ModelError, match=r"cannot take crops of \(60, 60\)"):
            checked(machine, "dmt", override(tiny, {"model": {"architecture": "FPN", "arguments": {}}, "crop": 60}))


def test_bare_steps_are_timed_once_in_a_storage_folder(machine, tiny, monkeypatch):
    runner = Runner(machine)
    stages = METHODS["dst"](runner.bind(tiny), 0).stages()
    timed = []
    monkeypatch.setattr(calibration, "_timed", lambda model, training, shape, classes: timed.append(shape) or 0.5)
    # 8 labelled images in batches of 8, 10 epochs; 16 unlabelled in batches of 6, twice 4 epochs.
    bare, trainings = calibration.BareSteps(runner), [stage for stage in stages if stage.config.trains]
    assert [bare(stage) * runner.work(stage) for stage in trainings] == [0.5 * 10, 0.5 * 4 * 3, 0.5 * 4 * 3]
    assert str(calibration.estimator(Runner(machine))(stages)) == (
        "8 stages, 34 optimizer steps, about 17 s, disk unknown"
    )
    assert timed == [(8, 3, 32, 32)]


def test_a_storage_folder_that_cannot_be_written_is_measured_anew(tmp_path, tiny):
    notes = NetworkNotes(tmp_path / "file" / "folder")
    (tmp_path / "file").touch()
    notes.note_seconds(tiny.model, 6, (8, 3, 32, 32), 0.5)
    assert NetworkNotes(tmp_path / "file" / "folder").seconds(tiny.model, 6, (8, 3, 32, 32)) is None
