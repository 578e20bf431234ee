"""Pseudo-Label: the student's own predictions are its labels, with a rising weight."""

import torch

from dmt_ray import IGNORE
from dmt_ray.losses.weighting import END, Comparison, Moment, Target


def rising(seen: Comparison, *, rise_start: float, rise_end: float, alpha_f: float, moment: Moment = END) -> Target:
    """The student's own argmax, whatever its confidence, at the weight of `rising_weight` (Lee).

    As in `online`, only `IGNORE` is read of the labels as given. The weight is a number of the host: nothing waits.

    Lee (Eq. 15) adds the mean over the labelled samples and alpha times the mean over the pseudo-labelled ones, each in
    full. The loss of DMT (Eq. 3-6) is one mean over all n samples of a batch, in which that is a weight of n / labelled
    for a labelled one (`weighting.labelled_weight`) and of alpha * n / pseudo-labelled for a pseudo-labelled one.
    """
    highest = alpha_f * sum(moment.batch) / moment.batch[1]
    weight = rising_weight(moment.progress, rise_start=rise_start, rise_end=rise_end, highest=highest)
    labels = torch.where(seen.valid, seen.student_labels(), IGNORE)
    return Target(labels, seen.valid.to(torch.float32) * weight)


def rising_weight(progress: float, *, rise_start: float, rise_end: float, highest: float) -> float:
    """How much a pseudo label counts after some fraction of the training (Lee, Eq. 16).

    0 before ``rise_start``, then linear up to ``highest`` at ``rise_end``, and constant from there. Where the rise has
    no length it is a step, and the weight at the step is ``highest``.
    """
    if progress >= rise_end:
        return highest
    if progress <= rise_start:
        return 0.0
    return highest * (progress - rise_start) / (rise_end - rise_start)
