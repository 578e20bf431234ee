"""One training step: weights, loss and statistics from one log-softmax.

The loss reads it, and so does a `Comparison` of the student with its pseudo labels, which the rule and the statistics
share. Nothing here makes the host wait for the device.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from dmt_ray import IGNORE
from dmt_ray.losses.cross_entropy import check_pixels, cross_entropy_sum
from dmt_ray.losses.weighting import Rule, Target, compare

# The entries of `StepLoss.statistics`: sums, so that steps and workers can be added up before anybody looks.
STATISTICS = ("counted", "loss", "selected", "weight", "valid", "agreement", "negative", "positive")


class StepLoss(NamedTuple):
    """One step's loss as numerator and denominator, and its statistics, all on the device.

    ``statistics`` is float64 ``[8]`` in the order of `STATISTICS`: labels in the denominator, sum of weighted
    cross-entropy, pseudo labels that the rule let train, sum of their weights, pseudo labels given, and how many of
    these were agreement, negative and positive disagreement. float64, because float32 stops counting at 2**24.
    """

    total: Tensor  # float32 scalar with gradient
    counted: Tensor  # int64 scalar
    statistics: Tensor
    target: Target  # what the rule made of the pseudo labels, [M, ...]


def step_loss(
    logits: Tensor, labels: Tensor, confidence: Tensor, *, labelled: int, rule: Rule, labelled_weight: float = 1.0
) -> StepLoss:
    """Weights, loss and statistics of one training step from one log-softmax (DMT, Eq. 3-6).

    Args:
        logits: Student output, ``[N, K, H, W]`` or ``[N, K]``, any floating type.
        labels: int64 ``[N, H, W]`` or ``[N]``; those of the labelled images come first.
        confidence: float32, of the shape of ``labels``; not read for labelled images.
        labelled: How many of the N images are labelled by people; the rest goes through the rule.
        rule: A weight rule with its numbers, from `rules.bind`.
        labelled_weight: What an image labelled by people weighs.

    Raises:
        ValueError: If the tensors do not cover the same pixels, or ``labelled`` is not in ``0..N``.
    """
    log_probs = torch.log_softmax(logits.float(), dim=1)
    targets = step_targets(log_probs, labels, confidence, labelled=labelled, rule=rule, labelled_weight=labelled_weight)
    return targets.loss(cross_entropy_sum(log_probs, targets.labels, targets.weights))


class StepTargets(NamedTuple):
    """The labels and weights of a step: true labels, and what the rule makes of the pseudo labels."""

    labels: Tensor  # of all images, int64
    weights: Tensor  # of all images, float32
    target: Target  # of the pseudo-labelled images alone
    cases: Tensor  # int64 [4]: valid, agreement, negative disagreement, positive disagreement

    def loss(self, total: Tensor) -> StepLoss:
        """The step's loss, given the sum of weighted cross-entropy."""
        counted = (self.labels != IGNORE).sum()
        sums = (counted, total.detach(), (self.target.labels != IGNORE).sum(), self.target.weights.sum())
        statistics = torch.cat([torch.stack([value.double() for value in sums]), self.cases.double()])
        return StepLoss(total, counted, statistics, self.target)


def step_targets(
    log_probs: Tensor, labels: Tensor, confidence: Tensor, *, labelled: int, rule: Rule, labelled_weight: float = 1.0
) -> StepTargets:
    """The targets of a batch for a student of this output; arguments as for `step_loss`, log-softmax for logits."""
    if not 0 <= labelled <= len(labels):
        raise ValueError(f"labelled must be between 0 and the batch size {len(labels)}, but got {labelled}")
    check_pixels(log_probs, labels)
    seen = compare(log_probs[labelled:].detach().exp(), labels[labelled:], confidence[labelled:])
    target = rule(seen)
    cases = torch.stack([mask.sum() for mask in (seen.valid, seen.agreement, seen.negative, seen.positive)])
    sure = torch.full_like(labels[:labelled], labelled_weight, dtype=torch.float32)
    every = torch.cat([labels[:labelled], target.labels]), torch.cat([sure, target.weights])
    return StepTargets(*every, target, cases)
