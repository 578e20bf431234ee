"""Optimizers, schedules, clipping and the scaled loss, on numbers that can be checked by hand."""

import math

import pytest
import torch
from torch import nn

from dmt_ray.config import Augment, Training
from dmt_ray.engine.optimizer import Update, learning_rate, optimizer_of, warmup_steps
from dmt_ray.errors import ConfigError

TRAINING = Training(epochs=1, learning_rate=0.1, weight_decay=0.0, batch=(1, 0), augment=Augment(crop=(8, 8)))
ADAMW = TRAINING.evolve(optimizer="adamw")
CPU = torch.device("cpu")


class Network(nn.Module):
    """One weight of an encoder and one of a head, both 2; the gradients of `loss` are 3 and -4."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(1, 1, bias=False)
        self.head = nn.Linear(1, 1, bias=False)
        for parameter in self.parameters():
            nn.init.constant_(parameter, 2.0)

    def loss(self) -> torch.Tensor:
        return 3 * self.encoder.weight.sum() - 4 * self.head.weight.sum()

    def weights(self) -> list[float]:
        return [parameter.item() for parameter in self.parameters()]


def after_a_step(training: Training, rate: float = 0.1) -> list[float]:
    network = Network()
    update = Update([network], training, CPU)
    update.backward(network.loss())
    update.step(rate)
    return network.weights()


def test_the_first_step_of_adamw_is_the_learning_rate_whatever_the_gradient():
    assert after_a_step(ADAMW) == pytest.approx([2 - 0.1, 2 + 0.1], abs=1e-6)


def test_the_weight_decay_of_adamw_goes_past_its_moments():
    expected = [2 * (1 - 0.1 * 0.5) - 0.1, 2 * (1 - 0.1 * 0.5) + 0.1]
    assert after_a_step(ADAMW.evolve(weight_decay=0.5)) == pytest.approx(expected, abs=1e-6)


def test_the_first_step_of_sgd_follows_the_gradient_and_its_weight_decay_is_a_part_of_it():
    assert after_a_step(TRAINING.evolve(weight_decay=0.5)) == pytest.approx([2 - 0.1 * (3 + 1), 2 - 0.1 * (-4 + 1)])


def test_the_second_step_of_adamw_has_moments_free_of_their_bias():
    network = Network()
    update = Update([network], ADAMW, CPU)
    for factor in (1, 3):  # gradients 3 and 9
        update.optimizer.zero_grad()
        update.backward(factor * network.loss())
        update.step(0.1)
    first = (0.9 * (0.1 * 3) + 0.1 * 9) / (1 - 0.9**2)
    second = (0.999 * (0.001 * 9) + 0.001 * 81) / (1 - 0.999**2)
    assert network.weights()[0] == pytest.approx(2 - 0.1 - 0.1 * first / math.sqrt(second), abs=1e-6)


@pytest.mark.parametrize("training", [TRAINING, ADAMW])
def test_encoder_and_head_have_rates_of_their_own(training):
    plain = after_a_step(training)
    changed = after_a_step(training.evolve(encoder_rate=0.1, head_rate=2))
    steps = [2 - weight for weight in plain]
    assert [2 - weight for weight in changed] == pytest.approx([0.1 * steps[0], 2 * steps[1]], abs=1e-5)


def test_a_rate_for_all_is_one_group_so_that_old_trainings_keep_the_order_of_their_weights():
    network = Network()
    (group,) = optimizer_of([network], TRAINING.evolve(encoder_rate=0.5, head_rate=0.5)).param_groups
    assert [id(parameter) for parameter in group["params"]] == [id(parameter) for parameter in network.parameters()]


def test_what_is_frozen_is_in_no_group_and_stays():
    network = Network()
    network.encoder.requires_grad_(False)
    update = Update([network], TRAINING.evolve(encoder_rate=0.1, weight_decay=0.5), CPU)
    update.backward(network.loss())
    update.step(0.1)
    assert network.weights() == pytest.approx([2, 2 - 0.1 * (-4 + 1)])


@pytest.mark.parametrize(
    ("norm", "expected"),
    [
        pytest.param(1.0, [2 - 0.1 * 0.6, 2 + 0.1 * 0.8], id="3 and -4 have the norm 5, a fifth is left"),
        pytest.param(6.0, [2 - 0.1 * 3, 2 + 0.1 * 4], id="shorter ones stay as they are"),
    ],
)
def test_long_gradients_are_cut_to_the_norm_that_is_set(norm, expected):
    assert after_a_step(TRAINING.evolve(clip_norm=norm)) == pytest.approx(expected, abs=1e-5)


def test_each_network_has_its_gradients_cut_by_itself():
    one, other = Network(), Network()
    update = Update([one, other], TRAINING.evolve(clip_norm=1.0), CPU)
    update.backward(one.loss() + 100 * other.loss())
    update.step(0.1)
    assert one.weights() == pytest.approx([2 - 0.06, 2 + 0.08], abs=1e-5)
    assert other.weights() == pytest.approx([2 - 0.06, 2 + 0.08], abs=1e-5)


@pytest.mark.parametrize(
    ("warmup", "expected"),
    [
        pytest.param(4, [0.02, 0.04, 0.06, 0.08, 0.1, 0.075, 0.05, 0.025], id="steps"),
        pytest.param(0.5, [0.02, 0.04, 0.06, 0.08, 0.1, 0.075, 0.05, 0.025], id="a fraction"),
        pytest.param(0, [0.1 * (1 - i / 8) for i in range(8)], id="none"),
    ],
)
def test_a_warm_up_rises_evenly_and_then_the_schedule_has_the_steps_that_are_left(warmup, expected):
    training = TRAINING.evolve(warmup=warmup, poly_power=1)
    assert [learning_rate(training, step, 8) for step in range(8)] == pytest.approx(expected)


def test_a_constant_rate_is_the_same_in_each_step():
    training = TRAINING.evolve(schedule="constant")
    assert [learning_rate(training, step, 3) for step in range(3)] == [0.1] * 3


def test_a_warm_up_longer_than_the_training_leaves_its_last_step():
    assert warmup_steps(TRAINING.evolve(warmup=100), 8) == 7


@pytest.mark.parametrize("warmup", [-1, 1.0, 2.5])
def test_a_warm_up_is_a_number_of_steps_or_a_fraction(warmup):
    with pytest.raises(ConfigError, match="warmup"):
        TRAINING.evolve(warmup=warmup)


@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_a_scaled_loss_takes_the_step_of_one_that_is_not(clip):
    training = TRAINING.evolve(clip_norm=clip)
    assert after_a_step(training.evolve(precision="float16")) == pytest.approx(after_a_step(training), abs=1e-5)


def test_a_step_whose_gradients_overflow_is_left_out_and_the_scale_is_halved():
    network = Network()
    update = Update([network], TRAINING.evolve(precision="float16"), CPU)
    update.backward(network.loss())
    before = update.state()["scaler.scale"].item()
    network.encoder.weight.grad.fill_(torch.inf)
    update.step(0.1)
    assert network.weights() == [2, 2]
    assert update.state()["scaler.scale"].item() == before / 2


@pytest.mark.parametrize(
    "changes",
    [
        {"momentum": 0.0},
        {},
        {"optimizer": "adamw", "encoder_rate": 0.1, "clip_norm": 1.0},
        {"precision": "float16"},
        {"precision": "float16", "optimizer": "adamw"},
    ],
)
def test_what_a_checkpoint_holds_takes_the_same_next_step(changes):
    training, networks, updates = TRAINING.evolve(**changes), [Network(), Network()], []
    for network in networks:
        updates.append(Update([network], training, CPU))
    updates[0].backward(networks[0].loss())
    updates[0].step(0.1)
    networks[1].load_state_dict(networks[0].state_dict())
    updates[1].load({name: value.clone() for name, value in updates[0].state().items()})
    for network, update in zip(networks, updates, strict=True):
        update.optimizer.zero_grad()
        update.backward(0.5 * network.loss())
        update.step(0.05)
    assert networks[0].weights() == networks[1].weights()
    assert updates[0].state() == updates[1].state()
