"""What the recipes of the papers beside DMT's tables say, each number with the place where it is printed."""

from math import ceil

import pytest
import torch

from dmt_ray import models
from dmt_ray.config import SIDES
from dmt_ray.methods import METHODS
from dmt_ray.plan.amounts import steps
from dmt_ray.recipes import RECIPES, named

CIFAR = {"cifar10-4000": 4000, "cifar10-1000": 1000}


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_network_can_be_built_and_takes_the_crops_of_its_trainings(recipe):
    config = named(recipe)
    for side in SIDES:
        with torch.device("meta"):  # shapes alone: nothing is computed
            network = models.build(config.model_of(side).evolve(encoder_weights=None), classes=7)
            for height, width in {training.augment.crop for training in config.trainings().values()}:
                shape = network(torch.empty(2, 3, height, width)).shape
                pixels = (1, 1) if config.data.task == "classification" else (height, width)
                assert shape == (2, 7, *pixels)
        assert models.task_of(config.model_of(side)) == config.data.task


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_makes_a_plan(recipe):
    assert len(METHODS["dmt"](named(recipe), 0).rungs) == 6  # pretraining and five iterations


@pytest.mark.parametrize("recipe", [name for name in RECIPES if named(name).data.size is not None])
def test_crops_fit_into_the_working_size(recipe):
    config = named(recipe)
    for training in config.trainings().values():
        assert all(crop <= side for crop, side in zip(training.augment.crop, config.data.size, strict=True))


@pytest.mark.parametrize(
    ("recipe", "batch", "epochs"),
    [
        # DMT, Table 1: 512 images, 7:1 and 31:1. Sec. 5.2.2: sqrt(1 / ratio) x 300; 300 x sqrt(12.5) and sqrt(50).
        ("cifar10-4000", (64, 448), 1061),
        ("cifar10-1000", (16, 496), 2121),
    ],
)
def test_cifar10_is_trained_as_dmt_prints_it(recipe, batch, epochs):
    config = named(recipe)
    assert (config.model.architecture, config.model.arguments) == ("WideResNet", {"depth": 28, "width": 2})
    assert config.data.normalised == "cifar10"  # the authors' code
    assert (config.pretrain.epochs, config.pretrain.batch) == (epochs, (512, 0))
    assert (config.oracle.epochs, config.oracle.batch) == (300, (512, 0))  # Sec. 5.2.2
    for training in (config.retrain, config.finetune, config.online):
        assert training.batch == batch
        assert training.learning_rate == 0.1  # Table 1
    assert config.retrain.epochs == 750  # Table 1
    assert config.pretrain.learning_rate == config.oracle.learning_rate == 0.2  # Sec. 5.2.2
    for training in config.trainings().values():
        assert (training.schedule, training.momentum, training.weight_decay) == ("cosine", 0.9, 5e-4)  # Sec. 5.2.2
        assert training.ema == 0.999  # Sec. 5.2.3: an averaged network; the decay is that of the authors' code
        augment = training.augment
        assert (augment.strong, augment.mixup) == ("dmt", 0.75)  # Sec. 5.2.2; alpha: the authors' code
        assert augment.fill == 128  # grey: the authors' code
        assert (augment.scale, augment.crop, augment.pad, augment.flip) == ((1, 1), (32, 32), 4, True)  # their code


@pytest.mark.parametrize(("recipe", "labelled"), CIFAR.items())
def test_cifar10_is_divided_and_weighed_as_dmt_prints_it(recipe, labelled):
    config = named(recipe)
    assert (config.split.labelled, config.split.rule) == (labelled, "per_class")
    assert config.split.selection == "valtiny"  # Sec. 5.1: 200 images
    assert config.label == "global"  # Algorithm 1: top-k images by confidence
    assert (config.weight.gamma1, config.weight.gamma2, config.weight.ramp) == (4, 4, True)  # Table 1, Sec. 4.2.1
    assert config.percentiles == (0.2, 0.4, 0.6, 0.8, 1.0)


def test_pets_are_trained_as_000_prints_it():
    config = named("pets")
    assert config.data.size == (128, 128)
    assert (config.split.labelled, config.split.selection) == (0.1, 0.05)  # Sec. 3: "10% and 5%, respectively"
    assert config.data.test_share == 0.2  # Sec. 3: 1,480 of 7,393 images
    assert (config.model.architecture, config.model.encoder_weights) == ("UNet", None)  # "random initialization"
    assert config.pretrain.epochs == 10_000  # "10,000 epochs for (pre-)training"
    assert config.finetune.epochs == 10  # "10 epochs in DMT fine-tuning"
    for training in config.trainings().values():
        assert (training.learning_rate, training.momentum, training.schedule) == (0.004, 0.9, "poly")
        assert sum(training.batch) == 32
        # Sec. 3 and 4.1 name no augmentation.
        assert (training.augment.scale, training.augment.flip, training.augment.strong) == ((1, 1), False, "none")
        assert training.keep == "val"  # "the highest Intersection over Union (IoU) on the validation set"
    assert config.finetune.matched  # "adjusted to have similar numbers of mini-batches"
    assert config.online.matched
    assert (config.weight.gamma1, config.weight.gamma2, config.dms_alpha) == (3, 3, 0.7)
    assert (config.order, config.first) == ("sequential", "val")  # Algorithm 1, and Sec. 3


@pytest.mark.parametrize(("ratio", "share"), [("1/16", 1 / 16), ("1/8", 1 / 8), ("1/4", 1 / 4)])
def test_voc_is_trained_as_rwms_prints_it(ratio, share):
    config = named(f"rwms-voc-{ratio}")
    assert config.split.labelled == share  # Table 1
    assert (config.model.architecture, config.model.encoder) == ("DeepLabV3Plus", "resnet50")  # "Network architectures"
    assert (config.model_b.architecture, config.model_b.encoder) == ("PSPNet", "resnet50")
    for training in (config.pretrain, config.retrain):
        assert training.epochs == 80  # "Implementation details", as are the following
        assert (training.momentum, training.weight_decay, training.poly_power) == (0.9, 1e-4, 0.9)
        assert abs(training.augment.crop[0] - 321) <= 1
    assert config.reliable == 0.5
    assert config.phases == "selective"


def test_cityscapes_is_trained_as_rml_prints_it():
    config = named("rml-cityscapes-1/8")
    assert config.data.size == (512, 1024)  # Sec. 5.1
    assert (config.model.architecture, config.model.encoder) == ("DeepLabV2", "resnet101")  # Sec. 5.2
    training = config.cotrain
    assert training.augment.crop == (256, 512)  # Sec. 5.1
    assert (training.learning_rate, training.schedule, sum(training.batch)) == (1e-4, "poly", 4)  # Sec. 5.2
    taken = steps(training, labelled=371, pseudo=2975 - 371)
    assert abs(taken - 90_000) <= ceil(2604 / training.batch[1]) / 2  # 90k steps, to the nearest epoch
    rungs = METHODS["rml"](config, 0).rungs
    noise = rungs[1]["A"].inputs["model"].config
    assert (noise.dropout, noise.survival) == (0.5, 0.8)  # Sec. 5.2
    assert (noise.prototype_momentum, len(rungs) - 1) == (0.9999, 2)  # Sec. 4.2, and two stages, Sec. 5.2


@pytest.mark.parametrize(
    ("recipe", "pretraining", "iterations"),
    [
        ("voc-1/106", 100, 500),
        ("voc-1/50", 220, 500),
        ("voc-1/20", 220, 500),
        ("voc-1/8", 350, 500),
        ("voc-1464", 350, 500),
        ("cityscapes-1/30", 350, 300),
        ("cityscapes-1/8", 350, 300),
    ],
)
def test_snapshots_are_scored_as_often_as_by_the_authors(recipe, pretraining, iterations):
    config = named(recipe)
    assert (config.pretrain.score_every, config.finetune.score_every) == (pretraining, iterations)
    assert (config.pretrain.keep, config.finetune.keep) == ("paper", "paper")


@pytest.mark.parametrize(
    ("recipe", "optimizer", "rates", "decay", "epochs", "batch"),
    [
        # configs/pascal.yaml of the authors' code: lr, lr_multi, epochs, and the batches of four GPUs. The loss of
        # UniMatch is halved: half the rate at twice the decay is the same step of SGD.
        ("unimatch-voc-92", "sgd", (1e-3 / 2, 10), 2 * 1e-4, 80, (8, 8)),
        ("unimatch-v2-voc-92", "adamw", (5e-6, 40), 0.01, 60, (16, 16)),
    ],
)
def test_unimatch_is_trained_as_its_authors_code_says(recipe, optimizer, rates, decay, epochs, batch):
    config = named(recipe)
    training = config.cotrain
    assert (training.optimizer, training.learning_rate, training.head_rate) == (optimizer, *rates)
    assert (training.weight_decay, training.epochs, training.batch) == (decay, epochs, batch)
    assert (training.schedule, training.poly_power, training.augment.scale) == ("poly", 0.9, (0.5, 2.0))
    assert steps(training, labelled=92, pseudo=10_582 - 92) == epochs * training.score_every  # scored once an epoch
    assert (config.split.labelled, config.split.list) == (92, "unimatch-voc-92")


def test_half_the_rate_at_twice_the_decay_is_a_step_of_sgd_on_half_the_loss():
    weights = [torch.tensor([2.0], requires_grad=True) for _ in range(2)]
    settings = [{"lr": 1e-1, "weight_decay": 1e-2}, {"lr": 5e-2, "weight_decay": 2e-2}]
    optimizers = [torch.optim.SGD([w], momentum=0.9, **s) for w, s in zip(weights, settings)]
    for _ in range(3):
        for weight, optimizer, factor in zip(weights, optimizers, (0.5, 1.0)):
            optimizer.zero_grad()
            (factor * weight**3).sum().backward()
            optimizer.step()
    assert weights[0].item() == pytest.approx(weights[1].item(), rel=1e-6)
