"""How long a training step takes here, where nothing of the kind has been run yet: a few bare steps are timed."""

import statistics
import time
from collections.abc import Iterable

import torch

from dmt_ray import models
from dmt_ray.config import Model, Training
from dmt_ray.execution.runner import Runner
from dmt_ray.plan import Stage
from dmt_ray.plan.slices import Cotrain, Finetune, Pick, Pretrain, Retrain

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
        if isinstance(config, Pretrain | Finetune | Retrain | Cotrain):
            models_together = _models(stage)
            steps = runner.work_of(stage) / len(models_together)
            for model in models_together:
                shape = (sum(config.training.batch), 3, *config.training.augment.crop)
                kind = (model.model_dump_json(), shape)
                if kind not in known:
                    known[kind] = _step(model, config.training, shape, len(runner.dataset(config.data).classes))
                total += known[kind] * steps
    torch.set_num_threads(threads)
    return total


def _models(stage: Stage) -> list[Model]:
    """The networks that a training trains."""
    if isinstance(stage.config, Cotrain):
        return [_model(start, side) for side, start in stage.inputs.items()]
    return [_model(stage, "A")]


def _model(stage: Stage, side: str) -> Model:
    """The network behind a stage; `side` of those that were trained together."""
    config = stage.config
    if isinstance(config, Pretrain | Retrain):
        return config.model
    name = side if isinstance(config, Cotrain) else "first" if isinstance(config, Pick) else "start"
    return _model(stage.inputs[name], side)


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
