"""The weight rules: how much each pseudo label may teach, by what the student says to it.

Nothing here makes the host wait for the device: masks are combined with `where` and `gather`, never by boolean
indexing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import exp
from typing import NamedTuple

import torch
from torch import Tensor

from dmt_ray import IGNORE
from dmt_ray.losses.pixels import check_pixels, of_label


@dataclass(frozen=True)
class Parameters:
    """The numbers that the rules read; those that a rule does not read have no effect on it.

    Args:
        gamma1: Exponent where teacher and student agree, >= 0.
        gamma2: Exponent where the teacher overrules the student, >= 0.
        threshold: Confidence in ``[0, 1]`` above which ``"online"`` believes the student.
        rise_start: Progress in ``[0, 1]`` up to which ``"rising"`` weighs 0; not behind ``rise_end``.
        rise_end: Progress in ``[0, 1]`` from which it weighs ``highest``.
        highest: Weight at the end of the rise, >= 0.
        progress: Share of the training's steps that were taken before, in ``[0, 1]``.
        ramp: Whether the exponents grow with the progress.
        a: Weight of a label that the other teacher ranks first, >= 0 (``"rank"``).
        b: How fast the weight falls with the rank, >= 0.

    Raises:
        ValueError: If a number is out of its range.
    """

    gamma1: float
    gamma2: float
    threshold: float = 0.9  # DMT, Sec. 5.4, Online ST
    rise_start: float = 0.0
    rise_end: float = 0.0
    highest: float = 1.0
    progress: float = 1.0
    ramp: bool = False
    a: float = 1.0
    b: float = 0.5

    def __post_init__(self) -> None:
        for name in ("gamma1", "gamma2", "highest", "a", "b"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be 0 or more, but got {getattr(self, name)}")
        for name in ("threshold", "rise_start", "rise_end", "progress"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1 inclusive, but got {getattr(self, name)}")
        if self.rise_start > self.rise_end:
            raise ValueError(f"rise_start must not lie behind rise_end, but got {self.rise_start} and {self.rise_end}")

    @property
    def exponents(self) -> tuple[float, float]:
        """gamma1 and gamma2 at this progress."""
        height = ramp(self.progress) if self.ramp else 1.0
        return self.gamma1 * height, self.gamma2 * height


def ramp(progress: float) -> float:
    """How much of its exponents a rule has after some share t / T of the training (DMT, Sec. 4.2.1).

    ``exp(-5 (1 - t / T)^2)``, from 0.0067 up to 1. The paper prints it without the minus sign, falling.
    """
    return exp(-5 * (1 - progress) ** 2)


class Comparison(NamedTuple):
    """What the student says to its pseudo labels; the three cases of DMT (Sec. 4.1.1) are disjoint masks.

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
        """The student's own argmax, int64 ``[N, H, W]``. Only rules that relabel pay for it."""
        return self.probs.max(dim=1).indices  # on a CPU several times faster than argmax over the same axis


class Target(NamedTuple):
    """What a rule makes of the pseudo labels: labels, int64, and weights, float32, both ``[N, H, W]``."""

    labels: Tensor
    weights: Tensor


Rule = Callable[[Comparison, Parameters], Target]


def compare(probs: Tensor, labels: Tensor, confidence: Tensor) -> Comparison:
    """Sort every pseudo label into agreement, negative disagreement or positive disagreement (DMT, Sec. 4.1.1).

    Where several classes share the student's highest probability and the pseudo label is among them, they agree.
    Equal confidence of teacher and student counts as "the teacher is surer".

    Args:
        probs: Student softmax, float32 ``[N, K, H, W]`` or ``[N, K]``. Detached here.
        labels: Pseudo labels, int64 ``[N, H, W]`` or ``[N]``, classes ``0..K-1`` or `IGNORE`.
        confidence: Teacher's highest softmax value, float32 in ``[0, 1]``, of the shape of ``labels``.

    Raises:
        ValueError: If labels, confidence and probs do not cover the same pixels.
    """
    if labels.shape != confidence.shape:
        raise ValueError(
            f"labels and confidence must cover the same pixels, "
            f"but got {tuple(labels.shape)} and {tuple(confidence.shape)}"
        )
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


def dynamic_weight(probs: Tensor, labels: Tensor, confidence: Tensor, *, gamma1: float, gamma2: float) -> Tensor:
    r"""How much each pseudo label may teach, by how far the student agrees with it (DMT, Eq. 3).

    With y the pseudo label, c its teacher's confidence, p the student's softmax and y' = argmax p::

        w = p[y] ** gamma1    y' == y                    agreement
            p[y] ** gamma2    y' != y and c >= max p     negative disagreement: the teacher is surer
            0                 y' != y and c <  max p     positive disagreement: the student is surer

    An exponent of 0 gives weight 1 in its case and leaves the third case at 0, so the rule has no jump at 0.

    Args:
        probs: Student softmax, float32 ``[N, K, H, W]``. Detached: no gradient flows through w.
        labels: Pseudo labels, int64 ``[N, H, W]``, classes ``0..K-1`` or `IGNORE` (255).
        confidence: Teacher's highest softmax value, float32 ``[N, H, W]`` in ``[0, 1]``.
        gamma1: Exponent where they agree, >= 0. Larger: learn only from what the student already finds likely.
        gamma2: Exponent where the teacher overrules the student, >= 0.

    Returns:
        Weights, float32 ``[N, H, W]`` in ``[0, 1]``; 0 where ``labels`` is `IGNORE`.

    Raises:
        ValueError: If an exponent is negative, or labels and confidence differ in shape.
    """
    return disagreement(compare(probs, labels, confidence), Parameters(gamma1, gamma2)).weights


def disagreement(seen: Comparison, parameters: Parameters) -> Target:
    """Weigh by the three cases of `dynamic_weight` (DMT, Eq. 3)."""
    gamma1, gamma2 = parameters.exponents
    weights = torch.where(seen.agreement, seen.likelihood**gamma1, seen.likelihood**gamma2)
    return Target(seen.labels, torch.where(seen.agreement | seen.negative, weights, 0.0))


def naive(seen: Comparison, parameters: Parameters) -> Target:
    """Weigh by ``p[y] ** gamma1`` whoever is surer (DMT-Naive, DMT, Sec. 5.4)."""
    gamma1, _ = parameters.exponents
    return Target(seen.labels, torch.where(seen.valid, seen.likelihood**gamma1, 0.0))


def flip(seen: Comparison, parameters: Parameters) -> Target:
    """As `disagreement`, but where the student is surer it learns its own class (DMT-Flip, DMT, Sec. 5.4).

    Such a pixel weighs ``(1 - c) ** gamma2``, c the teacher's confidence; the paper prints the exponent 2.
    """
    weights = disagreement(seen, parameters).weights
    _, gamma2 = parameters.exponents
    return Target(
        torch.where(seen.positive, seen.student_labels(), seen.labels),
        torch.where(seen.positive, (1 - seen.confidence) ** gamma2, weights),
    )


def uniform(seen: Comparison, parameters: Parameters) -> Target:
    """Every pseudo label weighs 1 (CBST, DMT, Sec. 5.4)."""
    return Target(seen.labels, seen.valid.to(torch.float32))


def online(seen: Comparison, parameters: Parameters) -> Target:
    """The student's own argmax where its confidence is above the threshold (Online ST, DMT, Sec. 5.4).

    Of the labels as given only `IGNORE` is read: it marks the padding around an image, which nobody labels.
    """
    sure = seen.valid & (seen.student_confidence > parameters.threshold)
    return Target(torch.where(sure, seen.student_labels(), IGNORE), sure.to(torch.float32))


def rising_weight(*, progress: float, rise_start: float, rise_end: float, highest: float) -> float:
    """How much a pseudo label of `rising` counts after some share of the training (Lee, Eq. 16).

    0 before ``rise_start``, then linear up to ``highest`` at ``rise_end``, and constant from there; all as in
    `Parameters`. Where the rise has no length it is a step, and the weight at the step is ``highest``.
    """
    if progress >= rise_end:
        return highest
    if progress <= rise_start:
        return 0.0
    return highest * (progress - rise_start) / (rise_end - rise_start)


def rising(seen: Comparison, parameters: Parameters) -> Target:
    """The student's own argmax, however sure it is, at a weight that rises over the training (Pseudo-Label, Lee).

    As in `online`, only `IGNORE` is read of the labels as given. The weight is a number of the host: nothing waits.
    """
    weight = rising_weight(
        progress=parameters.progress,
        rise_start=parameters.rise_start,
        rise_end=parameters.rise_end,
        highest=parameters.highest,
    )
    labels = torch.where(seen.valid, seen.student_labels(), IGNORE)
    return Target(labels, seen.valid.to(torch.float32) * weight)


def rank(seen: Comparison, parameters: Parameters) -> Target:
    r"""Weigh by the rank x of the label in another teacher's prediction: ``a exp(-b (x - 1))`` (RWMS, Eq. 4).

    The confidence of the comparison stands for the rank, in units of 1/255: both are kept as a byte. The student has no
    say, and the three cases mean nothing.
    """
    places = (seen.confidence * 255).round() - 1
    return Target(seen.labels, torch.where(seen.valid, parameters.a * torch.exp(-parameters.b * places), 0.0))


RULES: Mapping[str, Rule] = {
    "disagreement": disagreement,
    "confidence": naive,
    "flip": flip,
    "uniform": uniform,
    "online": online,
    "rising": rising,
    "rank": rank,
}
