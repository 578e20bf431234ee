"""What a weight rule is given and returns: a student compared with its pseudo labels, and labels with weights.

Nothing here makes the host wait for the device: masks are combined with `where` and `gather`, never by boolean
indexing.
"""

from collections.abc import Callable
from math import exp
from typing import NamedTuple

from torch import Tensor

from dmt_ray import IGNORE
from dmt_ray.losses.cross_entropy import check_pixels, of_label


class Moment(NamedTuple):
    """Where in a training a rule is applied.

    ``progress`` is the fraction of the training's steps that were taken before, in ``[0, 1]``; ``batch`` the numbers of
    labelled and pseudo-labelled images of a step, whatever the size of the last batch and the number of workers.
    """

    progress: float = 1.0
    batch: tuple[int, int] = (1, 1)


END = Moment()


def labelled_weight(in_full: bool, moment: Moment) -> float:
    """How much a label made by people counts in a mean over the whole batch.

    Args:
        in_full: Whether the labelled images have a mean of their own (Lee, Eq. 15), not their share of the batch's
            (DMT, Eq. 5 and 6).
        moment: With the batch.
    """
    return sum(moment.batch) / moment.batch[0] if in_full else 1.0


def ramped(gamma: float, ramp: bool, moment: Moment) -> float:
    """An exponent after a fraction t / T of the training (DMT, Sec. 4.2.1).

    With a ramp it is ``gamma * exp(-5 (1 - t / T)^2)``, from 0.0067 gamma up to gamma. The paper prints it without the
    minus sign, falling.
    """
    return gamma * exp(-5 * (1 - moment.progress) ** 2) if ramp else gamma


class Comparison(NamedTuple):
    """The student's prediction beside its pseudo labels; the three cases of DMT (Sec. 4.1.1) are disjoint masks.

    All are ``[N, H, W]`` (``[N]`` for classification) except ``probs``; nothing carries a gradient.
    """

    probs: Tensor  # the student's softmax, float32 [N, K, H, W]
    labels: Tensor  # pseudo labels as given, int64
    confidence: Tensor  # the teacher's highest softmax value (c_A), float32
    likelihood: Tensor  # the student's probability of the pseudo label (p_B), float32; meaningless at IGNORE
    student_confidence: Tensor  # the student's highest softmax value (c_B), float32
    valid: Tensor  # the label is not IGNORE, bool
    agreement: Tensor  # bool
    negative: Tensor  # bool
    positive: Tensor  # bool

    def student_labels(self) -> Tensor:
        """The student's own argmax, int64 ``[N, H, W]``: computed on demand, as few rules relabel."""
        return self.probs.max(dim=1).indices  # on a CPU several times faster than argmax over the same axis


class Target(NamedTuple):
    """What a rule makes of the pseudo labels: labels, int64, and weights, float32, both ``[N, H, W]``."""

    labels: Tensor
    weights: Tensor


Rule = Callable[[Comparison], Target]
"""A weight rule with all its numbers; see `rules.bind`."""


def compare(probs: Tensor, labels: Tensor, confidence: Tensor) -> Comparison:
    """Sort every pseudo label into agreement, negative disagreement or positive disagreement (DMT, Sec. 4.1.1).

    Where several classes share the student's highest probability and the pseudo label is among them, they agree.
    Equal confidence of teacher and student counts as "the teacher is more confident".

    Args:
        probs: Student softmax, float32 ``[N, K, H, W]`` or ``[N, K]``. Detached here.
        labels: Pseudo labels, int64 ``[N, H, W]`` or ``[N]``, classes ``0..K-1`` or `IGNORE`.
        confidence: Teacher's highest softmax value, float32 in ``[0, 1]``, of the shape of ``labels``.

    Raises:
        ValueError: If labels, confidence and probs do not cover the same pixels.
    """
    if labels.shape != confidence.shape:
        shapes = f"{tuple(labels.shape)} and {tuple(confidence.shape)}"
        raise ValueError(f"labels and confidence must cover the same pixels, but got {shapes}")
    check_pixels(probs, labels)
    probs = probs.detach()
    valid = labels != IGNORE
    likelihood = of_label(probs, labels, valid)
    highest = probs.amax(dim=1)
    agrees = likelihood == highest
    teacher_surer = confidence >= highest
    differs = valid & ~agrees
    return Comparison(
        probs=probs,
        labels=labels,
        confidence=confidence,
        likelihood=likelihood,
        student_confidence=highest,
        valid=valid,
        agreement=valid & agrees,
        negative=differs & teacher_surer,
        positive=differs & ~teacher_surer,
    )
