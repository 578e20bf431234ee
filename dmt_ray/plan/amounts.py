"""How many images and optimizer steps a stage takes: arithmetic on settings and numbers of images."""

from math import ceil, floor

from dmt_ray.config import Training

EVAL_BATCH = 16  # images in a forward pass of labelling and scoring; results do not depend on it, beyond rounding
SLACK = 1e-6  # of an image: what a fraction such as 0.57 of 100 may be off by rounding


def images_of(n: int, share: float) -> int:
    """How many images are a fraction of n: rounded down, but at least one."""
    return max(1, floor(n * share + SLACK))


def dms_images(labelled: int, alpha: float) -> int:
    """How many of the labelled images a model sees under Difference Maximized Sampling (DMT, Sec. 4.1.2)."""
    return labelled - ceil((1 - alpha) * labelled - SLACK)


def batch_of(training: Training, *, labelled: int, pseudo: int) -> tuple[int, int]:
    """Labelled and pseudo-labelled images of a step.

    With `training.matched` the sum of `training.batch` is shared out in proportion to the lists, at least one image
    each, so that a pass over one list is about a pass over the other (Pet study, Sec. 3).
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


def batch_sizes(training: Training, *, labelled: int, pseudo: int) -> set[int]:
    """How many images the batches of an epoch hold: those of the usual ones, and of the last, which may be smaller."""
    first, second = batch_of(training, labelled=labelled, pseudo=pseudo)
    driving, size = (pseudo, second) if second else (labelled, first)
    beside = first if second else 0  # the labelled list is cycled
    usual = {beside + size} if driving >= size else set()
    return usual | ({beside + driving % size} if driving % size else set())


def steps(training: Training, *, labelled: int, pseudo: int) -> int:
    """Optimizer steps of a whole stage."""
    return training.epochs * steps_per_epoch(training, labelled=labelled, pseudo=pseudo)
