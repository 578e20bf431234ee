"""Mean and standard deviation of the channels of a data set's training images."""

import json
from contextlib import suppress

import numpy as np

from dmt_ray.config import Statistics
from dmt_ray.data.dataset import Dataset
from dmt_ray.files import write_text

FILE = "statistics.json"  # in the folder of the decoded images
DIGITS = 6  # after the point: sums are whole numbers, so that these do not depend on the order of the images
LEAST = 1 / 255  # standard deviation of a channel that is the same everywhere: a grey level
AT_ONCE = 2**22  # pixels whose grey levels are counted together


def channel_statistics(dataset: Dataset) -> Statistics:
    """Mean and standard deviation of each channel over all pixels of the training images, for images in ``[0, 1]``.

    All images of `train` count, with and without masks, those too that a split holds out for validation: so the numbers
    are the same for all splits and seeds. They are kept beside the decoded images.
    """
    file = None if dataset.decoded is None else dataset.decoded / FILE
    if file is not None:
        with suppress(OSError, ValueError, TypeError):
            mean, std = json.loads(file.read_text(encoding="utf-8"))
            if len(mean) == len(std) == dataset.channels:
                return tuple(mean), tuple(std)
    pixels = dataset.subsets["train"].pixels
    counts = np.zeros((dataset.channels, 256), np.int64)
    for first in range(0, len(pixels), AT_ONCE):
        for channel, values in enumerate(pixels[first : first + AT_ONCE].T):
            counts[channel] += np.bincount(values, minlength=256)
    levels = np.arange(256) / 255
    shares = counts / counts.sum(axis=1, keepdims=True)
    means = shares @ levels
    deviations = np.sqrt((shares * (levels - means[:, None]) ** 2).sum(axis=1)).clip(LEAST)
    made = tuple(means.round(DIGITS).tolist()), tuple(deviations.round(DIGITS).tolist())
    if file is not None:
        with suppress(OSError):  # of a cache that is read only
            write_text(file, json.dumps(made) + "\n")
    return made
