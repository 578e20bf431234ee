"""The learning rate of a step, and the decay of the moving average of the weights."""

from math import cos, pi

from dmt_ray.config import Training


def learning_rate(training: Training, step: int, total: int) -> float:
    """Learning rate of step 0 ... total-1, by `training.schedule`."""
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
    too (as TensorFlow's moving average does when it is given the step).
    """
    return min(training.ema, (1 + step) / (10 + step))
