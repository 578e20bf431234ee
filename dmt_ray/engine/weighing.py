"""From the settings of a training to what its weight rule reads."""

from dmt_ray.config import Weight
from dmt_ray.losses import Parameters


def parameters_of(weight: Weight, batch: tuple[int, int]) -> Parameters:
    """What the rule of a training reads, as at its end.

    Lee (Eq. 15) adds the mean over the labelled samples and alpha times the mean over the pseudo-labelled ones. The
    loss of DMT (Eq. 3-6) is one mean over both, in which that balance is a weight of alpha * labelled / pseudo-labelled
    for each sample. It follows the batch of `schedule.batch_of`: neither the smaller last batch of an epoch nor the
    number of workers has a say.

    Args:
        weight: The rule and its settings.
        batch: Labelled and pseudo-labelled images of a step.
    """
    labelled, pseudo = batch
    return Parameters(
        weight.gamma1,
        weight.gamma2,
        weight.threshold,
        rise_start=weight.rise_start,
        rise_end=weight.rise_end,
        highest=weight.alpha_f * labelled / pseudo,
        ramp=weight.ramp,
        a=weight.a,
        b=weight.b,
    )
