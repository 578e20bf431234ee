"""Statistics of tables with three to ten runs per cell: paired differences, their intervals, exact tests, power.

A table has R rows (methods) that are run on the same n (split, seed) pairs. The model behind all intervals is

    score[row, pair] = row's mean + pair's effect + run error

The pair's effect (which images are labelled, which seed) is shared by all rows, so that it drops out of differences
between rows on the same pair. All functions take plain arrays; nothing here knows what the numbers mean.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Key = TypeVar("Key", bound=Hashable)

LEVEL = 0.95  # of all intervals
ERROR = 0.05  # 1 - LEVEL: how often an interval may miss the truth
EXACT = 20  # most differences of which all sign patterns are counted: a million of them
RESAMPLES = 99_999  # sign patterns drawn where they are too many to be counted
# Sums of the same numbers in another order differ by rounding: sums this close, relative to the largest, are equal.
SAME = 1e-9


class Interval(NamedTuple):
    """A mean and the ends of its 95 % interval; the ends are NaN where the data allow none."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether both ends lie on the same side of 0. An interval without ends excludes nothing."""
        return self.low > 0 or self.high < 0

    @property
    def known(self) -> bool:
        """Whether there is an interval at all."""
        return bool(np.isfinite(self.low) and np.isfinite(self.high))


class SignFlip(NamedTuple):
    """Two-sided p of a sign-flip test, and the smallest p that this many differences allow."""

    p: float
    floor: float


class Wins(NamedTuple):
    """Number of pairs in which the first is above the second, and of ties."""

    wins: int
    ties: int
    pairs: int


def mean_and_sd(values: ArrayLike) -> tuple[float, float]:
    """Mean and sample standard deviation (ddof 1) of ``[n]`` values; the deviation of one value is NaN.

    Raises:
        ValueError: If there is no value, or one that is not finite.
    """
    x = _numbers(values)
    return float(x.mean()), float(x.std(ddof=1)) if len(x) > 1 else float("nan")


def common(first: Mapping[Key, float], second: Mapping[Key, float]) -> tuple[tuple[Key, ...], NDArray[np.float64]]:
    """Pair two rows on the keys, (split, seed), that both have; runs of only one of them are left out.

    Returns:
        The common keys in the order of `first`, and the differences first - second, float64 ``[n]``.
    """
    keys = tuple(key for key in first if key in second)
    return keys, np.array([first[key] - second[key] for key in keys], dtype=np.float64)


def paired_interval(differences: ArrayLike, error: float = ERROR) -> Interval:
    """95 % t interval of the mean of n paired differences (Student 1908)::

        d ± t[1 - error / 2; n - 1] * sd(d) / sqrt(n)          sd with ddof 1

    It covers the true difference in exactly 95 % of tables if run errors are normal, whatever the effects of splits and
    even if the rows' errors differ in size (`benchmarks/coverage.py`).

    Args:
        differences: One row minus another on the same (split, seed), ``[n]``. Of one difference there is no interval.
        error: How often it may miss the truth; less than 0.05 where several looks share that (`sequential`).
    """
    mean, sd = mean_and_sd(differences)
    n = len(np.atleast_1d(differences))
    half = half_width(n, error) * sd if n > 1 else float("nan")
    return Interval(mean, mean - half, mean + half)


def pooled_error(table: ArrayLike) -> tuple[float, int]:
    """Standard deviation of the run error, from all rows of a table together, and its degrees of freedom.

    The residuals of the two-way layout without interaction (Scheffé 1959, Sec. 4.1)::

        e[r, i] = x[r, i] - mean of row r - mean of pair i + mean of all
        s^2     = sum(e^2) / ((R - 1) * (n - 1))

    Args:
        table: Scores, ``[R, n]``: every row on the same n pairs, no gaps.

    Returns:
        s and (R - 1)(n - 1); NaN and 0 where that is 0.

    Raises:
        ValueError: If the table is not two-dimensional, or has gaps.
    """
    x = np.asarray(table, dtype=np.float64)
    if x.ndim != 2 or not np.isfinite(x).all():
        raise ValueError(f"the pooled error needs a table [rows, pairs] without gaps, but got shape {x.shape}:\n{x}")
    freedom = (x.shape[0] - 1) * (x.shape[1] - 1)
    if freedom < 1:
        return float("nan"), 0
    residuals = x - x.mean(axis=1, keepdims=True) - x.mean(axis=0, keepdims=True) + x.mean()
    return float(np.sqrt((residuals**2).sum() / freedom)), freedom


def pooled_error_of(rows: Sequence[Mapping[Key, float]]) -> tuple[float, int]:
    """The pooled error from the pairs that all rows have; rows without any are left out.

    Gaps are not filled: a layout with gaps has no residuals that are independent of the means.

    Args:
        rows: (split, seed) -> score, of each row.

    Returns:
        As `pooled_error`.
    """
    present = [values for values in rows if values]
    shared = [key for key in present[0] if all(key in values for values in present)] if present else []
    return pooled_error([[values[key] for key in shared] for values in present]) if shared else (float("nan"), 0)


def pooled_interval(differences: ArrayLike, error: float, freedom: int) -> Interval:
    """95 % interval of the mean of n paired differences with the error pooled over all rows of the table::

        d ± t[0.975; freedom] * error * sqrt(2 / n)

    It is narrower than the paired interval because the error is known better, and it covers 95 % only if the runs of
    all rows scatter equally. It belongs beside the paired interval, never in its place.

    Args:
        differences: One row minus another on the same (split, seed), ``[n]``.
        error: Standard deviation of the run error and
        freedom: its degrees of freedom, as `pooled_error` returns them; 0 where there are none.
    """
    d = _numbers(differences)
    mean = float(d.mean())
    half = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * error * (2 / len(d)) ** 0.5 if freedom else float("nan")
    return Interval(mean, mean - half, mean + half)


def wins(differences: ArrayLike) -> Wins:
    """Count the positive differences and those that are exactly 0."""
    d = _numbers(differences)
    return Wins(int((d > 0).sum()), int((d == 0).sum()), len(d))


def sign_flip(differences: ArrayLike) -> SignFlip:
    """Exact two-sided sign-flip test of paired differences (Fisher 1935, Sec. 21).

    If two rows do not differ, every difference could as well have had the other sign. p is the share of the ``2 ** n``
    sign patterns whose sum is at least as far from 0 as the one that was found. The pattern found and its mirror image
    always are, hence the floor ``2 / 2 ** n``: .25 for three differences, .0625 for five.

    Beyond 20 differences p is estimated from 99,999 drawn patterns (scipy's permutation test, with a fixed seed); the
    floor is then that of the estimate, 2 / 100,000.
    """
    d = _numbers(differences)
    if len(d) > EXACT:
        rng = np.random.default_rng(0)
        test = stats.permutation_test((d,), np.sum, permutation_type="samples", n_resamples=RESAMPLES, rng=rng)
        return SignFlip(float(test.pvalue), 2 / (RESAMPLES + 1))
    sums = np.abs(d[:1])  # a pattern and its mirror image have sums of the same size: the first sign can stay
    for difference in d[1:]:
        sums = np.concatenate((sums + difference, sums - difference))
    found = abs(d.sum()) - SAME * np.abs(d).sum()
    return SignFlip(float((np.abs(sums) >= found).mean()), 2 / 2 ** len(d))


def holm(ps: Sequence[float]) -> tuple[float, ...]:
    """p values adjusted for their number m, so that they can be compared with .05 one by one (Holm 1979)::

        adjusted of the k-th smallest = max over j <= k of min(1, (m - j + 1) * p of the j-th smallest)

    Args:
        ps: p values of one table; NaN stands for "none" and stays NaN without being counted.
    """
    values = np.array(ps, np.float64)
    order = np.argsort(values, kind="stable")[: np.isfinite(values).sum()]  # NaN comes last
    factors = np.arange(len(order), 0, -1)
    values[order] = np.maximum.accumulate(np.minimum(1.0, factors * values[order]))
    return tuple(values.tolist())


def half_width(n: int, error: float = ERROR) -> float:
    """Half-width of the t interval of n paired differences, 95 % unless an error is given, in units of their sd.

    It is also the smallest mean difference whose interval excludes 0: 2.48 for n = 3, 1.24 for 5, 0.72 for 10. A true
    difference of that size is seen about every second time; for more see `power`.

    Raises:
        ValueError: If n is less than 2.
    """
    if n < 2:
        raise ValueError(f"an interval needs at least 2 differences, but n is {n}")
    return float(stats.t.isf(error / 2, n - 1) / n**0.5)


def power(difference: float, sd: float, n: int, error: float = ERROR) -> float:
    """Probability that the 95 % t interval of n paired differences excludes 0 (noncentral t)::

        P(|T| > t[1 - error / 2; n - 1])     T noncentral t with n - 1 degrees of freedom,
                                             noncentrality difference / (sd / sqrt(n))

    Args:
        difference: The true difference, in any unit.
        sd: Standard deviation of paired differences in that unit, > 0. For two rows of equal run error it is that error
            times the square root of 2.
        n: Number of pairs, at least 2.
        error: How often the interval may miss the truth.
    """
    critical = half_width(n, error) * n**0.5
    noncentrality = difference / (sd / n**0.5)
    far = stats.nct.sf(
        critical, n - 1, -noncentrality
    )  # of the side of the wrong sign; scipy has no number below 1e-300
    return float(stats.nct.sf(critical, n - 1, noncentrality) + np.nan_to_num(far))


def visible(n: int) -> str:
    """One sentence to read before starting a table: what differences n pairs can show."""
    if n < 2:
        return "With n = 1 no difference can be told from chance, as there is no interval. Use at least 3 seeds."
    floor, smallest = 2 / 2**n, f"about {half_width(n):.2g} sd of the paired differences"
    least = f"{floor:g}, so no row can get a star." if floor > 1 - LEVEL else f"{floor:.2g}."
    return f"With n = {n} the smallest difference you can see is {smallest}; the sign-flip p cannot fall below {least}"


def at_most(drawn: int, differing: int, total: int) -> float:
    """The share of a finite number of things that differ at most, with 95 % confidence, by those that were drawn.

    Exact, for a draw without replacement: the largest K / N for which as few as d or fewer of n have a probability of
    5 % or more (hypergeometric). For a large N it is the one-sided limit of Clopper and Pearson (1934), for d = 0
    ``1 - 0.05 ** (1 / n)``; when all are drawn it is what was counted.

    Args:
        drawn: n, at least 1.
        differing: d, of those that were drawn.
        total: N.

    Raises:
        ValueError: If these numbers do not fit each other.
    """
    if not 0 <= differing <= drawn <= total or not drawn:
        raise ValueError(f"{differing} of {drawn} drawn of {total} is no draw")
    low, high = differing, total - (drawn - differing)  # the first is always possible
    while low < high:
        middle = (low + high + 1) // 2
        if stats.hypergeom.cdf(differing, total, middle, drawn) >= ERROR:
            low = middle
        else:
            high = middle - 1
    return low / total


def _numbers(values: ArrayLike) -> NDArray[np.float64]:
    x = np.atleast_1d(np.asarray(values, dtype=np.float64))
    if x.ndim != 1 or not len(x) or not np.isfinite(x).all():
        raise ValueError(f"needs one or more finite numbers in a row, but got {np.asarray(values)!r}")
    return x
