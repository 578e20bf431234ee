"""How many steps a stage takes, of which images, and at which learning rate: arithmetic without torch."""

from math import ceil, cos, floor, pi

from dmt_ray.config import Training

SLACK = 1e-6  # of an image: what a share such as 0.57 of 100 may be off by rounding


def images_of(n: int, share: float) -> int:
    """How many images are a share of n: rounded down, but at least one."""
    return max(1, floor(n * share + SLACK))


def batch_of(training: Training, *, labelled: int, pseudo: int) -> tuple[int, int]:
    """Labelled and pseudo-labelled images of a step.

    With `training.matched` the sum of `training.batch` is shared out in proportion to the lists, at least one image
    each, so that a pass over one list is about a pass over the other (000, Sec. 3).
    """
    total = sum(training.batch)
    if not training.matched or training.batch[1] == 0:
        return training.batch
    first = min(max(1, round(total * labelled / (labelled + pseudo))), total - 1)
    return first, total - first


def steps_per_epoch(training: Training, *, labelled: int, pseudo: int) -> int:
    """Optimizer steps of one pass over the pseudo-labelled list, or in pretraining over the labelled one.

    The last batch of an epoch may be smaller (no drop_last, as in the authors' code).
    """
    batch = batch_of(training, labelled=labelled, pseudo=pseudo)
    driving, size = (pseudo, batch[1]) if batch[1] else (labelled, batch[0])
    return ceil(driving / size)


def steps(training: Training, *, labelled: int, pseudo: int) -> int:
    """Optimizer steps of a whole stage."""
    return training.epochs * steps_per_epoch(training, labelled=labelled, pseudo=pseudo)


def learning_rate(training: Training, step: int, total: int) -> float:
    """Learning rate of step 0 ... total-1, as `training.schedule` says."""
    return {"poly": poly, "cosine": cosine}[training.schedule](training, step, total)


def poly(training: Training, step: int, total: int) -> float:
    """``lr * (1 - step / total) ** power`` (DMT, Sec. 5.2.2, segmentation)."""
    return training.learning_rate * float((1 - step / total) ** training.poly_power)


def cosine(training: Training, step: int, total: int) -> float:
    """``lr * (1 + cos(pi * step / total)) / 2``, which falls to 0 (DMT, Sec. 5.2.2, classification)."""
    return training.learning_rate * (1 + cos(pi * step / total)) / 2


def decay_of(training: Training, step: int) -> float:
    """Decay of the moving average of the weights in step 0, 1, ...: at most `training.ema`.

    At first it is less, ``(1 + step) / (10 + step)``, so that the average forgets the first weights in short trainings
    too (as TensorFlow's moving average does when it is told the step).
    """
    return min(training.ema, (1 + step) / (10 + step))
