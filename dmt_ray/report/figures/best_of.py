"""What a smaller search would have found: the expected best of k trials."""

from math import comb

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from dmt_ray.plan.words import counted
from dmt_ray.report.figures.kit import BLUE, DASHED, ORANGE, Look, calm, legend_below, name_axes, new_axes


def chosen_among(k: int, n: int) -> NDArray[np.float64]:
    """How likely each of n trials in rising order is the best of k of them, drawn without replacement::

        P(the i-th smallest is the best) = C(i - 1, k - 1) / C(n, k)

    Args:
        k: From 1 to n.
        n: Number of trials.

    Returns:
        float64 ``[n]`` with sum 1.

    Raises:
        ValueError: If k is not from 1 to n.
    """
    if not 1 <= k <= n:
        raise ValueError(f"k must be from 1 to the number of trials, {n}, but got {k}")
    ways = comb(n, k)
    return np.array([comb(i - 1, k - 1) / ways for i in range(1, n + 1)])


def best_of_k(scores: ArrayLike, of: ArrayLike | None = None) -> pd.DataFrame:
    """What a search of k trials would have found, exactly, over all choices of k of the n trials.

    The expectation is that of the largest of k draws without replacement, an order statistic. It is unbiased for a
    random search or a grid. A sampler that learns, such as TPE, puts its trials where it expects good ones: then the
    curve describes this set of trials, and not what k further ones would bring. The nearer k is to n, the more the
    choices overlap, and the narrower the band is drawn than it should be.

    Args:
        scores: What chooses, ``[n]``.
        of: Another score of the same trials, ``[n]``, whose expectation is that of the trial which was chosen.

    Returns:
        For k from 1 to n: k, best (expectation of the best score), low and high (its 10th and 90th percentile), and
        chosen (expectation of `of`; NaN without it).
    """
    x = np.asarray(scores, np.float64)
    order = np.argsort(x, kind="stable")
    x, n = x[order], len(x)
    y = np.full(n, np.nan) if of is None else np.asarray(of, np.float64)[order]
    lines = []
    for k in range(1, n + 1):
        likely = chosen_among(k, n)
        reached = np.minimum(likely.cumsum(), 1.0)
        low, high = (x[int(np.searchsorted(reached, q - 1e-12))] for q in (0.1, 0.9))
        lines.append((k, float(likely @ x), float(low), float(high), float(likely @ y)))
    return pd.DataFrame(lines, columns=["k", "best", "low", "high", "chosen"])


def best_of_k_plot(curve: pd.DataFrame, measure: str = "mIoU") -> Figure:
    """The best of k trials (`best_of_k`): its expectation and middle 80 %, and the chosen one's test score."""
    figure, axes = new_axes()
    k = curve["k"]
    axes.fill_between(k, 100 * curve["low"], 100 * curve["high"], color=BLUE, alpha=0.15, linewidth=0)
    line: Look = {"linewidth": 2, "markersize": 4}
    axes.plot(k, 100 * curve["best"], color=BLUE, marker="o", label="on the validation images", **line)
    if curve["chosen"].notna().all():
        label = "the same trial on the test images"
        axes.plot(k, 100 * curve["chosen"], color=ORANGE, linestyle=DASHED, marker="s", label=label, **line)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(1 - 0.02 * len(curve), None)
    calm(axes)
    title = f"expected best of k of {counted(len(curve), 'trial')}; band: middle 80 %"
    name_axes(axes, "trials, k", f"{measure} (%)", title)
    legend_below(figure)
    return figure
