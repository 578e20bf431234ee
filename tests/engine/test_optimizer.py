"""The optimizer and the schedule of real trainings, beside plain torch: no golden number sees momentum or decay."""

import pytest
import torch
from torch import nn

from dmt_ray.config import Augment, Training
from dmt_ray.data import Dataset, Images
from dmt_ray.engine.batch_loader import BatchLoader, RngStream
from dmt_ray.engine.weighted_stepper import WeightedStepper
from dmt_ray.engine.workspace import Workspace

STEPS, N, SIDE, CLASSES = 20, 6, 4, 3
TRAINING = Training(
    epochs=STEPS // 2,
    learning_rate=0.1,
    momentum=0.9,
    weight_decay=0.01,
    poly_power=0.9,
    batch=(3, 0),  # two steps an epoch
    precision="float64",
    augment=Augment(scale=(1, 1), crop=(SIDE, SIDE), flip=False),
)


@pytest.fixture
def work() -> Workspace:
    generator = torch.Generator().manual_seed(0)
    images = Images(
        ids=tuple(map(str, range(N))),
        sizes=torch.full((N, 2), SIDE, dtype=torch.int32).numpy(),
        offsets=torch.arange(0, (N + 1) * SIDE**2, SIDE**2).numpy(),
        pixels=torch.randint(256, (N * SIDE**2, 3), generator=generator, dtype=torch.uint8).numpy(),
        masks=torch.randint(CLASSES, (N * SIDE**2,), generator=generator, dtype=torch.uint8).numpy(),
        known=torch.ones(N, dtype=torch.bool).numpy(),
    )
    colors = torch.zeros(CLASSES, 3, dtype=torch.uint8).numpy()
    dataset = Dataset("noise", tuple("abc"), colors, "", {"train": images}, None)
    return Workspace(dataset)


@pytest.fixture
def loader(work) -> BatchLoader:
    return BatchLoader(work, TRAINING, range(N), None, RngStream(0, "A", 0))


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, CLASSES, 1))
    return layers.double().to(memory_format=torch.channels_last)


def by_hand(loader: BatchLoader, *, momentum: float = 0.9, decay: float = 0.01, power: float = 0.9) -> nn.Module:
    """SGD as torch documents it: g + decay * w, v = momentum * v + g, w - rate * v; the rate falls polynomially."""
    trained = network()
    velocities: list[torch.Tensor] = []
    for number in range(STEPS):
        batch = loader.step(number).batch
        loss = nn.functional.cross_entropy(trained(batch.images.double()), batch.labels)
        gradients = torch.autograd.grad(loss, list(trained.parameters()))
        rate = 0.1 * (1 - number / STEPS) ** power
        with torch.no_grad():
            for i, (weights, gradient) in enumerate(zip(trained.parameters(), gradients, strict=True)):
                gradient = gradient + decay * weights
                if number:
                    velocities[i] = momentum * velocities[i] + gradient
                else:
                    velocities.append(gradient)
                weights -= rate * velocities[i]
    return trained


def by_the_stepper(loader: BatchLoader, work: Workspace) -> nn.Module:
    trained = network()
    with WeightedStepper(trained, loader, TRAINING, None, work) as stepper:
        for number in range(STEPS):
            stepper.step(number)
    return trained


def distance(one: nn.Module, other: nn.Module) -> float:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((first - second).abs().max().detach()) for first, second in pairs)


def test_twenty_steps_are_those_of_plain_sgd_with_momentum_weight_decay_and_polynomial_schedule(loader, work):
    assert loader.steps == STEPS
    assert distance(by_the_stepper(loader, work), by_hand(loader)) < 1e-6  # losses are sums in float32


@pytest.mark.parametrize("changed", [{"momentum": 0.89}, {"decay": 0.009}, {"power": 1.0}])
def test_another_optimizer_would_be_seen(loader, work, changed):
    assert distance(by_the_stepper(loader, work), by_hand(loader, **changed)) > 1e-4
