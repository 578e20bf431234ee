"""How many steps a stage takes, and at which learning rate: arithmetic without torch, also used to estimate."""

from math import ceil

from dmt_ray.config import Training


def steps_per_epoch(training: Training, *, labelled: int, pseudo: int) -> int:
    """Optimizer steps of one pass over the pseudo-labelled list, or in pretraining over the labelled one.

    The last batch of an epoch may be smaller (no drop_last, as in the authors' code).
    """
    driving, size = (pseudo, training.batch[1]) if training.batch[1] else (labelled, training.batch[0])
    return ceil(driving / size)


def steps(training: Training, *, labelled: int, pseudo: int) -> int:
    """Optimizer steps of a whole stage."""
    return training.epochs * steps_per_epoch(training, labelled=labelled, pseudo=pseudo)


def poly(training: Training, step: int, total: int) -> float:
    """Learning rate of step 0 ... total-1: ``lr * (1 - step / total) ** power`` (DMT, Sec. 5.2.2)."""
    return training.learning_rate * float((1 - step / total) ** training.poly_power)
