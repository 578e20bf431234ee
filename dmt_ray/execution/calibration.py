"""How long a training step takes here, where nothing of the kind has been run yet: a few bare steps are timed."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from dmt_ray.config import Model, Training
from dmt_ray.execution.cost import Estimator
from dmt_ray.execution.runner import Runner
from dmt_ray.plan import Stage, TrainingSlice

if TYPE_CHECKING:
    from torch import Tensor

STEPS = 3  # that are timed, after one that warms up
FEW = 2  # images of the first steps; batch normalisation may not take one alone
LIMIT_SECONDS = 0.5  # whole batches that take longer are timed on `FEW` images, and taken to cost in proportion


class BareSteps:
    """How long a step of a training takes in one thread on this machine's CPU, if it is nothing but forward pass,
    cross-entropy, backward pass and optimizer: a lower bound.

    Every network, batch and size of crop is timed once in a storage folder (see `NetworkNotes`), on random images.

    Args:
        runner: Opens the data, and keeps the notes.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._known: dict[tuple[object, ...], float] = {}

    def __call__(self, stage: Stage) -> float:
        """Seconds of a step of a stage that trains; of one that trains several models, their mean."""
        config = stage.config
        assert isinstance(config, TrainingSlice)
        networks = stage.networks()
        return sum(self._step(model, config) for model in networks) / len(networks)

    def _step(self, model: Model, config: TrainingSlice) -> float:
        shape = (sum(config.training.batch), model.channels, *config.training.augment.crop)
        kind = (model.model_dump_json(), shape)
        if kind not in self._known:
            self._known[kind] = self._noted(model, config, shape)
        return self._known[kind]

    def _noted(self, model: Model, config: TrainingSlice, shape: tuple[int, ...]) -> float:
        notes, classes = self._runner.notes, len(self._runner.dataset(config.data).classes)
        seconds = notes.seconds(model, classes, shape)
        if seconds is None:
            seconds = _timed(model, config.training, shape, classes)
            notes.note_seconds(model, classes, shape, seconds)
        return seconds


def estimator(runner: Runner) -> Estimator:
    """What estimates stages by the runner's store, and where it has no experience by bare steps."""
    return Estimator(runner.store, runner.work, BareSteps(runner))


def _timed(model: Model, training: Training, shape: tuple[int, ...], classes: int) -> float:
    """Seconds of a step, found in two steps on few images, and four on the whole batch where that is quick."""
    import torch  # takes seconds

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        step = _step(model, training, classes)
        few, whole = torch.rand(FEW, *shape[1:]), torch.rand(shape)
        step(few)
        seconds = _seconds(step, few) * shape[0] / FEW
        if seconds > LIMIT_SECONDS:
            return seconds
        step(whole)
        return min(_seconds(step, whole) for _ in range(STEPS))
    finally:
        torch.set_num_threads(threads)


def _seconds(step: "Callable[[Tensor], None]", images: "Tensor") -> float:
    began = time.process_time()  # which other processes on the machine do not lengthen
    step(images)
    return time.process_time() - began


def _step(model: Model, training: Training, classes: int) -> "Callable[[Tensor], None]":
    import torch

    from dmt_ray import models
    from dmt_ray.engine.optimizer import optimizer_of

    network = models.build(model.evolve(encoder_weights=None, weights_file=None), classes)
    models.train_mode(network)
    optimizer = optimizer_of([network], training)

    def step(images: "Tensor") -> None:
        logits = network(images)
        labels = torch.zeros(len(logits), *logits.shape[2:], dtype=torch.int64)
        torch.autograd.backward(torch.nn.functional.cross_entropy(logits, labels))
        optimizer.step()
        optimizer.zero_grad()

    return step
