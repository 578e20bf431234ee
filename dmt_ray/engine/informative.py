"""Which unlabelled images are worth a person's time: those that a model is least sure of, and that differ.

Images are judged by the mean of a map of `tiles.Predictor` over their pixels, such as the disagreement of two networks
(query by committee: Seung, Opper and Sompolinsky 1992), and then spread: the highest values alone pile up on pictures
that look alike, such as neighbouring frames of a video, and the second of these teaches little.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from dmt_ray.data.images import Images
from dmt_ray.engine.tiles import Map, Predictor

POOL = 4  # times as many images as are chosen are candidates: those with the highest values


class Judged(NamedTuple):
    """What a model makes of some images."""

    values: dict[Map, NDArray[np.float64]]  # mean of each map over the pixels of an image, ``[N]`` in ``[0, 1]``
    shares: NDArray[np.float64]  # of each class in what is predicted for an image, ``[N, K]``; rows add up to 1


def judge(
    predictor: Predictor,
    images: Images,
    positions: Sequence[int],
    classes: int,
    one_more: Callable[[], None] = lambda: None,
) -> Judged:
    """Predict some images at working size, and sum up what is predicted.

    Args:
        predictor: Of the networks; the maps that it keeps are those that are averaged, and the confidence.
        images: A subset.
        positions: Which of its images.
        classes: K, the number of classes.
        one_more: Called after each image.

    Raises:
        ModelError: If a network's logits are not finite.
    """
    values: dict[Map, list[float]] = {}
    shares = np.zeros((len(positions), classes))
    for place, position in enumerate(positions):
        pixels = images.image(position)
        sums: dict[Map, float] = {}
        for band in predictor.bands(pixels):
            shares[place] += torch.bincount(band.classes.flatten(), minlength=classes).cpu().numpy()
            for name, values_of_band in band.maps.items():
                sums[name] = sums.get(name, 0.0) + float(values_of_band.sum(dtype=torch.float64))
        for name, total in sums.items():
            values.setdefault(name, []).append(total / (pixels.shape[0] * pixels.shape[1]))
        one_more()
    return Judged({name: np.array(each) for name, each in values.items()}, shares / shares.sum(axis=1, keepdims=True))


def spread(values: NDArray[np.float64], shares: NDArray[np.float64], count: int) -> list[int]:
    """Choose images with high values that differ in what they show.

    Of the ``POOL * count`` images with the highest values the first is taken, then always the one whose nearest image
    among those already taken is farthest away (the greedy 2-approximation of k-centre: Gonzalez 1985; Sener and
    Savarese 2018). The distance of two images is the total variation of their predicted class shares,
    ``sum(|a - b|) / 2``: the fraction of the pixels that would have to change class. Shares are what any network gives;
    features of its encoder would need to know where that keeps them.

    Args:
        values: ``[N]``, what images are chosen by.
        shares: ``[N, K]``, of each class in an image.
        count: How many to choose, at most N.

    Returns:
        Places in the arrays, in the order in which they were taken; equal distances and values go by the higher value,
        then the lower place.
    """
    candidates = np.argsort(-values, kind="stable")[: POOL * count]
    chosen = [0][:count]
    nearest = _distances(shares[candidates], 0)
    while len(chosen) < min(count, len(candidates)):
        nearest[chosen] = -1.0  # no candidate twice, not even where all look alike
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, _distances(shares[candidates], chosen[-1]))
    return [int(candidates[place]) for place in chosen]


def _distances(shares: NDArray[np.float64], to: int) -> NDArray[np.float64]:
    distances: NDArray[np.float64] = np.abs(shares - shares[to]).sum(axis=1) / 2
    return distances


def drawn(among: int, count: int, seed: int) -> list[int]:
    """Some of the numbers below `among`, each as likely as the others; of one seed, fewer are the first of more."""
    return [int(place) for place in np.random.default_rng(seed).permutation(among)[:count]]
