"""A chain of generations on real digits: what is labelled, trained, kept and scored where an image has one class."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from dmt_ray import models
from dmt_ray.config import Augment, Config, DisagreementWeight, Model, Split, Training
from dmt_ray.data.sets.digits import DigitsData
from dmt_ray.data.splits import divide
from dmt_ray.engine import label as label_module
from dmt_ray.engine.batch_loader import BatchLoader, RngStream
from dmt_ray.engine.evaluate import evaluate
from dmt_ray.engine.label import label
from dmt_ray.engine.pretrain import pretrain
from dmt_ray.engine.pseudo_labels import PseudoLabels
from dmt_ray.engine.retrain import retrain
from dmt_ray.engine.team import ALONE, Team
from dmt_ray.engine.workspace import Workspace
from dmt_ray.errors import Interrupted
from dmt_ray.execution.runner import Machine, Runner
from dmt_ray.methods import METHODS
from dmt_ray.report.figures.maps import weight_maps
from tests.helpers.teams import in_team

SHARES = (0.2, 1.0)
LABELLED = 60


@pytest.fixture(scope="module")
def config() -> Config:
    augment = Augment(scale=(1, 1), crop=(8, 8), flip=False, pad=1, strong="any", mixup=0.75)
    alone = Training(
        epochs=4, learning_rate=0.05, batch=(20, 0), augment=augment, schedule="cosine", ema=0.99, precision="float64"
    )
    both = alone.evolve(batch=(16, 48), epochs=1)
    return Config(
        data=DigitsData(),
        split=Split(labelled=LABELLED, rule="per_class", selection=0.05),
        model=Model(architecture="WideResNet", encoder="none", arguments={"depth": 10, "width": 1}),
        pretrain=alone,
        finetune=both,
        online=both,
        oracle=alone,
        weight=DisagreementWeight(gamma1=4, gamma2=4, ramp=True),
        label="global",
        percentiles=SHARES,
    )


@pytest.fixture(scope="module")
def performed(config, tmp_path_factory):
    """The runner and the stages of `dmt`, by operation."""
    runner = Runner(Machine(tmp_path_factory.mktemp("digits") / "runs"))
    plan = METHODS["dmt"](runner.bind(config), 0)
    runner.perform([stage for rung in plan.rungs for stage in rung.values()])
    stages = {name: [one for one in plan.stages() if one.operation.name == name] for name in ("pretrain", "label")}
    stages |= {name: [one for one in plan.stages() if one.operation.name == name] for name in ("retrain", "evaluate")}
    return runner, stages


@pytest.fixture(scope="module")
def unlabelled(performed) -> tuple[int, ...]:
    runner, stages = performed
    config = stages["label"][0].config
    return divide(config.split, config.data, runner.dataset(config.data)).unlabelled


def test_exactly_the_surest_share_of_the_images_is_labelled(performed, unlabelled):
    runner, stages = performed
    for stage, share in zip(stages["label"], SHARES, strict=True):
        folder = runner.store.path(stage)
        images, labels, confidence = (np.load(folder / f"{name}.npy") for name in ("images", "labels", "confidence"))
        assert len(images) == len(labels) == len(confidence) == int(len(unlabelled) * share)
        assert (np.diff(images) > 0).all()
        assert labels.max() < 10
        said = json.loads((folder / "summary.json").read_text())
        assert said["kept"] == pytest.approx(share, abs=1e-3)
        assert said["thresholds"][0] == pytest.approx(confidence.min() / 255, abs=1 / 255)


def test_what_is_kept_is_what_the_teacher_is_surest_of(performed, unlabelled, tmp_path):
    runner, stages = performed
    first = stages["label"][0]
    dataset, teacher = runner.dataset(first.config.data), runner.store.path(first.inputs["teacher"])
    everything = tmp_path / "everything"
    everything.mkdir()
    work = Workspace(dataset, inputs={"teacher": teacher}, out=everything, scratch=tmp_path)
    label(first.config.evolve(share=1.0), work)
    confidence = np.load(everything / "confidence.npy").astype(int)
    kept = np.load(runner.store.path(first) / "images.npy")
    left_out = np.setdiff1d(np.arange(len(unlabelled)), kept)
    assert confidence[kept].min() >= confidence[left_out].max()


def test_an_epoch_is_a_pass_over_the_images_that_are_labelled(performed, unlabelled):
    runner, stages = performed
    for stage, share in zip(stages["retrain"], SHARES, strict=True):
        steps = pd.read_csv(runner.store.path(stage) / "history.csv")["step"].max()
        assert steps == np.ceil(int(len(unlabelled) * share) / 48) == runner.work_of(stage)


def test_every_generation_has_first_weights_of_its_own(performed, tmp_path):
    runner, stages = performed
    stage = stages["retrain"][1]
    nothing = stage.config.evolve(training=stage.config.training.evolve(learning_rate=1e-12))
    first = []
    for generation in (1, 2):
        out = tmp_path / str(generation)
        out.mkdir()
        inputs = {"labels": runner.store.path(stage.inputs["labels"])}
        work = Workspace(runner.dataset(stage.config.data))
        config = nothing.evolve(generation=generation)
        retrain(config, replace(work, inputs=inputs, out=out, scratch=tmp_path))
        assert json.loads((out / "model.json").read_text())["generation"] == generation
        first.append(load_file(out / "model.safetensors")["stem.weight"])
    assert not torch.allclose(*first, atol=0.01)


def test_the_moving_average_is_scored_and_the_last_weights_beside_it(performed):
    runner, stages = performed
    evaluation = stages["evaluate"][-1]
    assert evaluation.config.averaged
    dataset = runner.dataset(evaluation.config.data)
    folder = runner.store.path(evaluation.inputs["model"])
    parts = divide(evaluation.config.split, evaluation.config.data, dataset)
    images = dataset.subsets[parts.reported[0]]
    found = {}
    for averaged in (True, False):
        network = models.load(folder, averaged=averaged)[0].eval()
        pixels = torch.from_numpy(np.stack([images.image(i) for i in parts.reported[1]])).permute(0, 3, 1, 2) / 255
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        with torch.inference_mode():
            logits = network((pixels - mean.view(3, 1, 1)) / std.view(3, 1, 1))
        probs, decided = logits.flatten(1).softmax(dim=1).max(dim=1)
        right = decided.numpy() == np.array([images.mask(i).item() for i in parts.reported[1]])
        found[averaged] = {"accuracy": right.mean(), "fine_grained": (probs.numpy() * right).mean()}
    said = json.loads((runner.store.path(evaluation) / "metrics.json").read_text())["reported"]
    assert said["measure"] == "accuracy"
    assert {name: said[name] for name in found[True]} == pytest.approx(found[True], rel=1e-4)
    assert said["last_weights"] == pytest.approx(found[False], rel=1e-4)
    assert np.sum(said["confusion"]) == len(parts.reported[1])


def test_a_panel_shows_the_same_images_in_every_generation(performed):
    runner, stages = performed
    examples = [dict(np.load(runner.store.path(stage) / "examples.npz")) for stage in stages["retrain"]]
    assert examples[0]["ids"].tolist() == examples[1]["ids"].tolist()
    labels = [np.concatenate([one[f"label_{e}"].ravel() for e in range(4)]) for one in examples]
    assert len(labels[0]) == 4
    assert 255 not in labels[1]
    dataset = runner.dataset(stages["retrain"][0].config.data)
    assert weight_maps(examples, dataset.palette, dataset.classes).axes


def perform(operation, stage, inputs, folder, work):
    """One stage in a folder of its own."""
    out, scratch = folder / "out", folder / "scratch"
    for place in (out, scratch):
        place.mkdir(parents=True, exist_ok=True)
    operation(stage.config, replace(work, inputs=inputs, out=out, scratch=scratch))
    return out


def test_a_training_with_mixup_and_a_moving_average_goes_on_to_the_same_bytes(performed, tmp_path):
    runner, stages = performed
    stage = stages["retrain"][1]
    inputs = {"labels": runner.store.path(stage.inputs["labels"])}
    work = Workspace(runner.dataset(stage.config.data), stop=lambda: True)
    with pytest.raises(Interrupted):
        perform(retrain, stage, inputs, tmp_path, work)
    out = perform(retrain, stage, inputs, tmp_path, replace(work, stop=lambda: False))
    for name in ("model.safetensors", "model-averaged.safetensors", "history.csv", "examples.npz"):
        assert (out / name).read_bytes() == (runner.store.path(stage) / name).read_bytes()


def test_a_team_mixes_the_rows_of_the_global_batch_as_one_worker_does(performed, tmp_path):
    runner, stages = performed
    stage = stages["retrain"][0]
    inputs = {"labels": runner.store.path(stage.inputs["labels"])}
    dataset = runner.dataset(stage.config.data)
    in_team(3, lambda team: perform(retrain, stage, inputs, tmp_path / f"{team.rank}", Workspace(dataset, team=team)))
    one, team = runner.store.path(stage), tmp_path / "0" / "out"
    for name in ("model.safetensors", "model-averaged.safetensors"):
        expected, found = load_file(one / name), load_file(team / name)
        for key, value in expected.items():
            assert torch.allclose(found[key].double(), value.double(), rtol=1e-5, atol=1e-6), key
    ours, theirs = (pd.read_csv(folder / "history.csv") for folder in (team, one))
    assert np.allclose(ours, theirs, rtol=1e-5, atol=1e-12, equal_nan=True)


def test_a_team_pretrains_on_mixed_images_as_one_worker_does(performed, tmp_path):
    runner, stages = performed
    stage = stages["pretrain"][0]
    dataset = runner.dataset(stage.config.data)
    in_team(2, lambda team: perform(pretrain, stage, {}, tmp_path / f"{team.rank}", Workspace(dataset, team=team)))
    ours, theirs = (
        pd.read_csv(folder / "history.csv") for folder in (tmp_path / "0" / "out", runner.store.path(stage))
    )
    assert np.allclose(ours, theirs, rtol=1e-5, atol=1e-12)


def test_a_team_labels_and_scores_as_one_worker_does_to_the_byte(performed, tmp_path, monkeypatch):
    monkeypatch.setattr(label_module, "_CHUNK", 100)  # so that a worker hands over several runs
    runner, stages = performed
    label_stage, evaluation = stages["label"][0], stages["evaluate"][0]
    dataset, model = runner.dataset(label_stage.config.data), runner.store.path(stages["pretrain"][0])

    def both(team: Team) -> None:
        work = Workspace(dataset, team=team, eval_batch=128)
        perform(label, label_stage, {"teacher": model}, tmp_path / f"label{team.size}{team.rank}", work)
        perform(evaluate, evaluation, {"model": model}, tmp_path / f"evaluate{team.size}{team.rank}", work)

    both(ALONE)
    in_team(2, both)
    for operation, names in {
        "label": ("images.npy", "labels.npy", "confidence.npy", "summary.json"),
        "evaluate": ("metrics.json",),
    }.items():
        one, team = (tmp_path / f"{operation}{size}0" / "out" for size in (1, 2))
        for name in names:
            assert (team / name).read_bytes() == (one / name).read_bytes()


def test_class_balanced_labels_are_the_surest_share_of_each_predicted_class(performed, unlabelled, tmp_path):
    runner, stages = performed
    stage = stages["label"][0]
    inputs = {"teacher": runner.store.path(stage.inputs["teacher"])}
    work = Workspace(runner.dataset(stage.config.data))
    found = {}
    for rule, share in (("global", 1.0), ("class_balanced", 0.5)):
        config = stage.config.evolve(rule=rule, share=share)
        out = perform(label, replace(stage, config=config), inputs, tmp_path / rule, work)
        found[rule] = np.bincount(np.load(out / "labels.npy"), minlength=10)
    assert found["class_balanced"].tolist() == [max(n // 2, min(n, 1)) for n in found["global"]]


@pytest.fixture(scope="module")
def loader_of(performed, unlabelled):
    """Makes batch loaders of the second generation, with changes of the augmentation."""
    runner, stages = performed
    stage = stages["retrain"][1]
    dataset = runner.dataset(stage.config.data)
    parts = divide(stage.config.split, stage.config.data, dataset)
    pseudo = PseudoLabels(dataset.subsets["train"], parts.unlabelled, runner.store.path(stage.inputs["labels"]))

    def make(**changes) -> BatchLoader:
        training = stage.config.training
        training = training.evolve(augment=training.augment.evolve(**changes))
        return BatchLoader(Workspace(dataset), training, parts.labelled, pseudo, RngStream(0, "A", 1))

    return make


def test_the_label_of_an_image_has_one_pixel_and_does_not_move(loader_of):
    step = loader_of(pad=4).step(0)
    assert step.batch.images.shape == (64, 3, 8, 8)
    assert step.batch.labels.shape == step.batch.confidence.shape == (64, 1, 1)
    assert step.truth.shape == (48, 1, 1)
    assert int(step.batch.labels.max()) < 10
    assert (step.batch.confidence[:16] == 1).all()


@pytest.mark.parametrize(("kind", "first"), [("any", 0), ("photometric", 16), ("jitter", 16)])
def test_strong_augmentation_is_for_all_images_or_for_those_without_labels(loader_of, kind, first):
    plain, changed = (loader_of(strong=strong).step(0).batch.images for strong in ("none", kind))
    same = torch.isclose(plain, changed, atol=1e-5).flatten(1).all(dim=1)
    assert same[:first].all()
    assert same[first:].float().mean() < 0.5  # to leave an image as it is is one of the operations


def test_the_partners_of_a_step_are_a_permutation_and_follow_from_the_step_alone(loader_of):
    first, second = loader_of(), loader_of(strong="none")
    mixings = [first.step(number).mixing for number in (0, 1)]
    for number in (1, 0):
        mixing = second.step(number).mixing
        assert mixing.share == mixings[number].share
        assert torch.equal(mixing.partners, mixings[number].partners)
        assert sorted(mixing.partners.tolist()) == list(range(64))
        assert 0.5 <= mixing.share < 1
    assert mixings[0].share != mixings[1].share
    assert not torch.equal(mixings[0].partners, mixings[1].partners)


def test_without_mixup_nothing_is_mixed(loader_of):
    assert loader_of(mixup=0).step(0).mixing is None
