"""Seeds that are added until a row is decided: the error of each look, and what the looks find and cost.

The looks are numbers of pairs that are fixed beforehand, such as 3, 5, 8 and 12. At each look the paired t interval of
a row to the reference is tested, and the row gets no more seeds once it excludes 0. Every look is another chance to be
wrong: with 95 % intervals at four looks 14 % of rows that do not differ are decided. So each look has the same smaller
error, chosen so that all looks together err in 5 % of tables (a constant nominal level, as of Pocock 1977, here for
Student's t with as few as two degrees of freedom). An interval at that level is right at all looks at once, and so
wherever one stops (repeated confidence intervals, Jennison & Turnbull 1989).

The 5 % are the table's, not a row's: with m rows beside the reference each row has a share of 5 % / m (Bonferroni).
"""

import functools
import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from dmt_ray.results.statistics import ERROR, Interval, mean_and_sd, paired_interval, power

TABLES = 1_000_000  # that are simulated to find the error of a look
NUMBERS = 20_000_000  # at most, that are drawn for them
CHUNK = 100_000  # tables at a time
PROBES = 40_000  # tables that are simulated to see what looks find
MANY = 1000  # pairs; that more would be needed is said without a number
WANTED_POWER = 0.8  # of the number of pairs that an open row is said to need


def error_of_a_look(looks: Sequence[int], rows: int) -> float:
    """Two-sided error of each look with which all looks and rows together err in 5 % of tables::

        P(some look's |t| > t[1 - error / 2; n - 1] | no difference, normal errors) = 0.05 / rows

    It is found by simulation with a fixed seed, in half a second: the quantile of the smallest p over the looks of a
    million tables.

    Args:
        looks: Numbers of pairs, increasing.
        rows: Rows that are compared with the reference, at least 1.

    Returns:
        The error: 0.0157 for the default looks and one row; 0.05 for a single look and one row.
    """
    if len(looks) == 1:
        return ERROR / rows
    ps = _smallest_p(tuple(looks))
    return float(ps[max(1, int(len(ps) * ERROR / rows)) - 1])


@functools.cache
def _smallest_p(looks: tuple[int, ...]) -> NDArray[np.float64]:
    """The smallest p over the looks of simulated tables without a difference, sorted, float64 ``[tables]``."""
    rng = np.random.default_rng(0)
    found, left = [], min(TABLES, NUMBERS // looks[-1])
    while left > 0:
        found.append(smallest_p(rng.standard_normal((min(left, CHUNK), looks[-1])), looks))
        left -= CHUNK
    return np.sort(np.concatenate(found))


def smallest_p(differences: NDArray[np.float64], looks: Sequence[int]) -> NDArray[np.float64]:
    """The smallest two-sided p of the paired t test over the looks; 1 where none is below 0.06.

    Args:
        differences: Of many tables, ``[..., pairs]`` with as many pairs as the last look.
        looks: Numbers of pairs, increasing.

    Returns:
        p, float64 ``[...]``.
    """
    smallest = np.ones(differences.shape[:-1])
    for n, t in zip(looks, _statistics(differences, looks), strict=True):
        near = np.abs(t) > stats.t.isf(0.03, n - 1)
        smallest[near] = np.minimum(smallest[near], 2 * stats.t.sf(np.abs(t[near]), n - 1))
    return smallest


def _statistics(differences: NDArray[np.float64], looks: Sequence[int]) -> list[NDArray[np.float64]]:
    """Student's t of the mean of the first pairs of each look."""
    sums, squares = differences.cumsum(axis=-1), (differences**2).cumsum(axis=-1)
    means = [sums[..., n - 1] / n for n in looks]
    spreads = [
        np.sqrt(np.maximum(squares[..., n - 1] - n * mean**2, 0) / (n - 1) / n)
        for n, mean in zip(looks, means, strict=True)
    ]
    return [mean / np.maximum(spread, 1e-300) for mean, spread in zip(means, spreads, strict=True)]


def stops(differences: NDArray[np.float64], looks: Sequence[int], error: float) -> NDArray[np.int64]:
    """The look, counted from 0, at which each of many rows is decided; ``len(looks)`` where none decides it.

    Args:
        differences: ``[..., pairs]`` with as many pairs as the last look.
        looks: Numbers of pairs, increasing.
        error: Of a look.

    Returns:
        int64 ``[...]``.
    """
    beyond = [
        np.abs(t) > stats.t.isf(error / 2, n - 1) for n, t in zip(looks, _statistics(differences, looks), strict=True)
    ]
    return np.where(np.any(beyond, axis=0), np.argmax(beyond, axis=0), len(looks))


@functools.cache
def chances(looks: tuple[int, ...], error: float, difference: float) -> tuple[float, ...]:
    """Probability of being decided at each look, for a true difference in sd of the paired differences (simulated).

    `reached` turns them into the probabilities of getting there.
    """
    drawn = np.random.default_rng(1).normal(difference, 1, (PROBES, looks[-1]))
    stopped = stops(drawn, looks, error)
    return tuple(float((stopped == look).mean()) for look in range(len(looks)))


def reached(chances: Sequence[float]) -> list[float]:
    """Probability that a row is still open when it comes to each look: 1 for the first."""
    return [1 - sum(chances[:look]) for look in range(len(chances))]


def mean_seeds(looks: Sequence[int], chances: Sequence[float]) -> float:
    """How many seeds a row is run on, on average."""
    steps = [after - before for before, after in zip([0, *looks], looks, strict=False)]
    return sum(chance * seeds for chance, seeds in zip(reached(chances), steps, strict=True))


@dataclass(frozen=True)
class Outcome:
    """A row minus the reference, at the look that decided it or at the last one that is complete.

    Attributes:
        interval: Mean difference and its interval at the error of a look; without ends before the first look.
        seeds: Of the pairs that it is made of.
        look: The look, counted from 0, that decided the row; None: it is open.
        needed: Pairs that an open row would take if difference and spread stayed as they are; None: unknown, or more
            than 1,000.
    """

    interval: Interval
    seeds: tuple[int, ...]
    look: int | None
    needed: int | None


def outcome(
    differences: Mapping[int, float], ended: Set[int], seeds: Sequence[int], looks: Sequence[int], error: float
) -> Outcome:
    """Go through the looks that are complete, up to the first whose interval excludes 0.

    Args:
        differences: Seed -> the row minus the reference, where both have a score.
        ended: Seeds on which both are through; a run that failed counts, its pair is left out.
        seeds: All of them, or those so far, in their order.
        looks: Numbers of seeds, increasing.
        error: Of a look, as `error_of_a_look` gives it.
    """
    found = Outcome(Interval(math.nan, math.nan, math.nan), (), None, None)
    for look, n in enumerate(looks):
        used = tuple(seed for seed in seeds[:n] if seed in differences)
        if n > len(seeds) or not set(seeds[:n]) <= ended:
            break
        if not used:  # all pairs so far have failed; later ones may not
            continue
        values = [differences[seed] for seed in used]
        interval = paired_interval(values, error)
        if interval.excludes_zero:
            return Outcome(interval, used, look, None)
        found = Outcome(interval, used, None, pairs_needed(*mean_and_sd(values), error))
    return found


def pairs_needed(difference: float, sd: float, error: float) -> int | None:
    """Pairs with which a difference and spread as these are seen in four of five tables; None: more than 1,000."""
    if not sd > 0:
        return None
    low, high = 2, MANY
    if power(difference, sd, high, error) < WANTED_POWER:
        return None
    while low < high:  # power grows with the number of pairs
        middle = (low + high) // 2
        low, high = (low, middle) if power(difference, sd, middle, error) >= WANTED_POWER else (middle + 1, high)
    return high
