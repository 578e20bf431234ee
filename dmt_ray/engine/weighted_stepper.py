"""Optimizer steps of one network on true labels and, beside them, pseudo labels weighted by a rule."""

import torch
from torch import Tensor, nn

from dmt_ray.config import Training, UniformWeight, Weight
from dmt_ray.engine.batch_loader import BatchLoader, Mixing, Step
from dmt_ray.engine.ema import average_of, decay_of, move_average
from dmt_ray.engine.history import Row, StepSums
from dmt_ray.engine.loop import Stepper, dtype_of
from dmt_ray.engine.parallel import spread
from dmt_ray.engine.workspace import Workspace
from dmt_ray.losses.mixing import mix, mixed_cross_entropy_sum
from dmt_ray.losses.rules import bind
from dmt_ray.losses.step import StepLoss, step_loss, step_targets
from dmt_ray.losses.weighting import Moment, Rule, Target, labelled_weight


class WeightedStepper(Stepper):
    """Forward pass, weighted loss, gradients, moving average.

    Args:
        network: Trained in place; moved to the device. Each worker of a team has one, with equal weights.
        loader: Its batches.
        training: Optimizer and schedule.
        weight: How much a pseudo label counts; None in pretraining, where there is none to weigh.
        work: Data and device.
    """

    def __init__(
        self, network: nn.Module, loader: BatchLoader, training: Training, weight: Weight | None, work: Workspace
    ) -> None:
        self._network = network.to(work.device, dtype_of(training)).to(memory_format=torch.channels_last)
        self.averaged = average_of(self._network) if training.ema else None
        # Where it is a wrapper, scores on the way, in eval mode and of other sizes, go past it.
        self._trained = spread(self._network, work.team, compiled=work.compiled)
        scored = self._network if self.averaged is None else self.averaged
        state = scored if self.averaged is None else nn.ModuleDict({"last": self._network, "averaged": scored})
        super().__init__([self._network], [scored], state, loader, training, work)
        compared = weight is not None and not weight.makes_labels and weight.evidence == "confidence"
        self._sums = StepSums(work.dataset.classes, work.device, work.team, compared=compared)
        self._weighs = weight is not None
        self._weight = weight or UniformWeight()

    def backward(self, number: int, step: Step) -> None:
        """Compute the gradients of a step, and add up its statistics."""
        team = self.work.team
        # By step, so that a stage that was interrupted goes on with the same numbers.
        torch.manual_seed(self.loader.stream.torch_seed(number, team.rank))
        moment = Moment(number / self.loader.steps, self.loader.batch)
        rule = bind(self._weight.rule, self._weight.numbers(), moment)
        weight = labelled_weight(self._weight.labelled_in_full, moment)
        if step.mixing is None:
            logits, (_, labels, confidence) = self._logits(self._trained, step.batch.images), step.batch
            loss = step_loss(logits, labels, confidence, labelled=step.labelled, rule=rule, labelled_weight=weight)
        else:
            loss = self._mixed_loss(step, step.mixing, rule, weight)
        # One worker alone would have the sum of the team's gradients; DistributedDataParallel takes their mean.
        counted = team.add(loss.counted.clone()).clamp(min=1)
        self.update.backward(loss.total / counted * team.size)
        self._sums.add(loss, step)

    def follow(self, number: int) -> None:
        """Let the moving average of the weights follow."""
        if self.averaged is not None:
            move_average(self.averaged, self._network, decay_of(self.training, number))

    def row(self, done: int) -> Row:
        """See `Stepper.row` and `StepSums.row`."""
        return self._place(done) | self._sums.row()

    def _logits(self, network: nn.Module, images: Tensor) -> Tensor:
        with self._cast():
            logits: Tensor = network(self._formatted(images))
        return logits

    def _mixed_loss(self, step: Step, mixing: Mixing, rule: Rule, weight: float) -> StepLoss:
        """The loss on mixed images; what a label weighs is measured on the image as it is (DMT, Sec. 5.2.2).

        That takes another forward pass, in training mode and without a gradient, as in the authors' code. It is there
        under every rule, so that Curriculum Labeling differs from DMT in the weights alone.
        """
        images, labels, confidence = step.batch
        as_they_are = None
        if self._weighs:
            with torch.no_grad():
                as_they_are = self._logits(self._network, images)
        mixed = mix(images, mixing.of_partners(images, self.work.team), mixing.share)
        logits = self._logits(self._trained, mixed)
        measured = torch.log_softmax((logits if as_they_are is None else as_they_are).float(), dim=1)
        targets = step_targets(measured, labels, confidence, labelled=step.labelled, rule=rule, labelled_weight=weight)
        own = Target(targets.labels, targets.weights)
        partners = Target(*(mixing.of_partners(part, self.work.team) for part in own))
        log_probs = torch.log_softmax(logits.float(), dim=1)
        return targets.loss(mixed_cross_entropy_sum(log_probs, own, partners, share=mixing.share))
