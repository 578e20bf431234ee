"""DMT: a pseudo label is weighted by how far the student agrees with it."""

import torch
from torch import Tensor

from dmt_ray.losses.weighting import END, Comparison, Moment, Target, compare, ramped


def dynamic_weight(probs: Tensor, labels: Tensor, confidence: Tensor, *, gamma1: float, gamma2: float) -> Tensor:
    r"""How much each pseudo label may teach, by how far the student agrees with it (DMT, Eq. 3).

    With y the pseudo label, c its teacher's confidence, p the student's softmax and y' = argmax p::

        w = p[y] ** gamma1    y' == y                    agreement
            p[y] ** gamma2    y' != y and c >= max p     negative disagreement: the teacher is more confident
            0                 y' != y and c <  max p     positive disagreement: the student is more confident

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
    if not (gamma1 >= 0 and gamma2 >= 0):
        raise ValueError(f"exponents must be 0 or more, but got {gamma1=} and {gamma2=}")
    return disagreement(compare(probs, labels, confidence), gamma1=gamma1, gamma2=gamma2).weights


def disagreement(seen: Comparison, *, gamma1: float, gamma2: float, ramp: bool = False, moment: Moment = END) -> Target:
    """Weight by the three cases of `dynamic_weight` (DMT, Eq. 3), with exponents that may grow over the training."""
    agreement, negative = (seen.likelihood ** ramped(gamma, ramp, moment) for gamma in (gamma1, gamma2))
    weights = torch.where(seen.agreement, agreement, negative)
    return Target(seen.labels, torch.where(seen.agreement | seen.negative, weights, 0.0))
