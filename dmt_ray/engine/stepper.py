"""One optimizer step after the other: forward pass, weighted loss, gradients, moving average."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from dmt_ray.config import Training, UniformWeight, Weight
from dmt_ray.engine.averaging import average_of, move_average
from dmt_ray.engine.feeding import Ahead, Feed, Step
from dmt_ray.engine.history import StepSums
from dmt_ray.engine.mixing import Mixing
from dmt_ray.engine.parallel import spread
from dmt_ray.engine.schedule import decay_of, learning_rate
from dmt_ray.engine.workspace import Workspace
from dmt_ray.losses import (
    Moment,
    Rule,
    StepLoss,
    Target,
    bind,
    lesson_of,
    mix,
    mixed_cross_entropy_sum,
    step_loss,
)


class Stepper:
    """A network in training: takes its optimizer steps by number, and adds up their statistics; a context manager.

    Args:
        network: Trained in place; moved to the device. Each worker of a team has one, with equal weights.
        feed: Its batches.
        training: Optimizer and schedule.
        weight: How much a pseudo label counts; None in pretraining, where there is none to weigh.
        work: Data and device.
    """

    def __init__(
        self, network: nn.Module, feed: Feed, training: Training, weight: Weight | None, work: Workspace
    ) -> None:
        self._dtype = torch.float64 if training.precision == "float64" else torch.float32
        self.network = network.to(work.device, self._dtype).to(memory_format=torch.channels_last)
        self.averaged = average_of(self.network) if training.ema else None
        # Where it is a wrapper, scores on the way, in eval mode and of other sizes, go past it.
        self._trained = spread(self.network, work.team, compiled=work.compiled)
        self.optimizer = torch.optim.SGD(
            network.parameters(),
            lr=training.learning_rate,
            momentum=training.momentum,
            weight_decay=training.weight_decay,
            foreach=True,
        )
        self.sums = StepSums(work.dataset.classes, work.device, work.team)
        self._feed, self._training, self._device, self._team = feed, training, work.device, work.team
        self._ahead = Ahead(feed, work.device)
        self._weight = weight

    def __enter__(self) -> "Stepper":
        return self

    def __exit__(self, *_: object) -> None:
        self._ahead.close()

    def learning_rate(self, number: int) -> float:
        """The learning rate of a step."""
        return learning_rate(self._training, number, self._feed.steps)

    def step(self, number: int) -> None:
        """Take optimizer step ``number`` (0 ... steps-1). Nothing in it waits for the device."""
        # By step, so that a stage that was interrupted goes on with the same numbers.
        torch.manual_seed(self._feed.stream.torch_seed(number, self._team.rank))
        step = self._ahead.step(number)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(number)
        moment = Moment(number / self._feed.steps, self._feed.batch)
        weight = self._weight or UniformWeight()
        rule = bind(weight.rule, weight.numbers(), moment)
        loss = self._loss(step, rule) if step.mixing is None else self._mixed_loss(step, step.mixing, rule)
        self.optimizer.zero_grad(set_to_none=True)
        # One worker alone would have the sum of the team's gradients; DistributedDataParallel takes their mean.
        counted = self._team.add(loss.counted.clone()).clamp(min=1)
        (loss.total / counted * self._team.size).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        if self.averaged is not None:
            move_average(self.averaged, self.network, decay_of(self._training, number))
        self.sums.add(loss, step)

    def _logits(self, network: nn.Module, images: Tensor) -> Tensor:
        # A context for each pass: autocast would go on to use weights that it cast where no gradient was asked for.
        half = self._training.precision == "bfloat16"
        cast: AbstractContextManager[Any] = torch.autocast(self._device.type, torch.bfloat16) if half else nullcontext()
        with cast:
            logits: Tensor = network(images.to(self._dtype, memory_format=torch.channels_last))
        return logits

    def _loss(self, step: Step, rule: Rule) -> StepLoss:
        return step_loss(
            self._logits(self._trained, step.batch.images),
            step.batch.labels,
            step.batch.confidence,
            labelled=step.labelled,
            rule=rule,
        )

    def _mixed_loss(self, step: Step, mixing: Mixing, rule: Rule) -> StepLoss:
        """The loss on mixed images; what a label weighs is measured on the image as it is (DMT, Sec. 5.2.2).

        That takes another forward pass, in training mode and without a gradient, as in the authors' code. It is there
        under every rule, so that Curriculum Labeling differs from DMT in the weights alone.
        """
        images = step.batch.images
        as_they_are = None
        if self._weight is not None:
            with torch.no_grad():
                as_they_are = self._logits(self.network, images)
        mixed = mix(images, mixing.of_partners(images, self._team), mixing.share)
        logits = self._logits(self._trained, mixed)
        lesson = lesson_of(
            torch.log_softmax((logits if as_they_are is None else as_they_are).float(), dim=1),
            step.batch.labels,
            step.batch.confidence,
            labelled=step.labelled,
            rule=rule,
        )
        own = Target(lesson.labels, lesson.weights)
        partners = Target(*(mixing.of_partners(part, self._team) for part in own))
        log_probs = torch.log_softmax(logits.float(), dim=1)
        return lesson.loss(mixed_cross_entropy_sum(log_probs, own, partners, share=mixing.share))
