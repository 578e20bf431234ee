"""How long a training step takes here, where nothing of the kind has been run yet: a few bare steps are timed."""

import statistics
import time
from collections.abc import Iterable

import torch

from dmt_ray import models
from dmt_ray.config import Model, Training
from dmt_ray.execution.runner import Runner
from dmt_ray.plan import Stage, TrainingSlice

WARM, TIMED = 1, 3  # steps


def bare_seconds(runner: Runner, stages: Iterable[Stage]) -> float:
    """Seconds that the trainings among these stages would take one by one in one thread on this machine's CPU, if
    they were nothing but forward pass, cross-entropy, backward pass and optimizer: a lower bound.

    Every network, batch and size of crop is timed once, on random images.
    """
    known: dict[tuple[object, ...], float] = {}
    total = 0.0
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for stage in stages:
        config = stage.config
        if isinstance(config, TrainingSlice):
            networks = stage.networks()
            steps = runner.work_of(stage) / len(networks)
            for model in networks:
                shape = (sum(config.training.batch), 3, *config.training.augment.crop)
                kind = (model.model_dump_json(), shape)
                if kind not in known:
                    known[kind] = _step(model, config.training, shape, len(runner.dataset(config.data).classes))
                total += known[kind] * steps
    torch.set_num_threads(threads)
    return total


def _step(model: Model, training: Training, shape: tuple[int, ...], classes: int) -> float:
    network = models.build(model.evolve(encoder_weights=None, weights_file=None), classes)
    optimizer = torch.optim.SGD(network.parameters(), lr=training.learning_rate, momentum=training.momentum)
    images = torch.rand(shape)
    took = []
    for _ in range(WARM + TIMED):
        began = time.perf_counter()
        logits = network(images)
        labels = torch.zeros(len(logits), *logits.shape[2:], dtype=torch.int64)
        torch.autograd.backward(torch.nn.functional.cross_entropy(logits, labels))
        optimizer.step()
        optimizer.zero_grad()
        took.append(time.perf_counter() - began)
    return statistics.median(took[WARM:])
