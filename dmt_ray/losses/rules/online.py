"""Online ST: the student's own confident predictions are its labels."""

import torch

from dmt_ray import IGNORE
from dmt_ray.losses.weighting import END, Comparison, Moment, Target


def online(seen: Comparison, *, threshold: float, moment: Moment = END) -> Target:
    """The student's own argmax where its confidence is above ``threshold``, in ``[0, 1]`` (DMT, Sec. 5.4).

    Of the labels as given only `IGNORE` is read: it marks the padding around an image, which has no label.
    """
    confident = seen.valid & (seen.student_confidence > threshold)
    return Target(torch.where(confident, seen.student_labels(), IGNORE), confident.to(torch.float32))
