"""How long a training step takes here, where nothing of the kind has been run yet: a few bare steps are timed."""

from collections.abc import Callable, Iterable

import torch
from torch.utils.benchmark import Timer

from dmt_ray import models
from dmt_ray.config import Model, Training
from dmt_ray.engine.optimizer import optimizer_of
from dmt_ray.execution.runner import Runner
from dmt_ray.plan import Stage, TrainingSlice

STEPS = 3  # that are timed, after two that warm up


def bare_seconds(runner: Runner, stages: Iterable[Stage]) -> float:
    """Seconds that the trainings among these stages would take one by one in one thread on this machine's CPU, if
    they were nothing but forward pass, cross-entropy, backward pass and optimizer: a lower bound.

    Every network, batch and size of crop is timed once, on random images.
    """
    known: dict[tuple[object, ...], float] = {}
    total = 0.0
    for stage in stages:
        config = stage.config
        if isinstance(config, TrainingSlice):
            networks = stage.networks()
            for model in networks:
                shape = (sum(config.training.batch), 3, *config.training.augment.crop)
                kind = (model.model_dump_json(), shape)
                if kind not in known:
                    step = _step(model, config.training, shape, len(runner.dataset(config.data).classes))
                    known[kind] = Timer("step()", globals={"step": step}).timeit(STEPS).median
                total += known[kind] * runner.work_of(stage) / len(networks)
    return total


def _step(model: Model, training: Training, shape: tuple[int, ...], classes: int) -> Callable[[], None]:
    network = models.build(model.evolve(encoder_weights=None, weights_file=None), classes)
    models.train_mode(network)
    optimizer = optimizer_of([network], training)
    images = torch.rand(shape)

    def step() -> None:
        logits = network(images)
        labels = torch.zeros(len(logits), *logits.shape[2:], dtype=torch.int64)
        torch.autograd.backward(torch.nn.functional.cross_entropy(logits, labels))
        optimizer.step()
        optimizer.zero_grad()

    return step
