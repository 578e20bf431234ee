"""How often do the intervals of the tables cover the truth? 20,000 simulated tables for each number of runs.

A simulated table has the rows and pairs of a real one: every pair (split and seed) moves all rows alike, every run has
an error of its own. The true difference of a row to the reference is known, so that one can count how often each kind
of interval contains it. Beside the two intervals that the tables print are shown some that they do not print:
percentile bootstrap, 1.96 standard errors, and mean ± std / sqrt(n) with ddof 0. The last columns: how often the
intervals of all rows contain the truth at once, how wide the pooled interval is beside the paired one, and how often a
row is bold although all rows are equally good.

Then tables that add seeds until a row is decided (`--until-decided`): how often any row is decided although none
differs from the reference, at the error that a look has and at 5 % a look; how often the interval of a row contains
the truth where its seeds ended; and what a true difference takes to be found.

    python benchmarks/coverage.py                # n = 3, 5, 10, and looks after 3, 5, 8, 12: half a minute
    python benchmarks/coverage.py --tables 1000  # a quick view
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from dmt_ray.cli.options import guarded, help_with
from dmt_ray.experiments.looks import LOOKS
from dmt_ray.results.sequential import error_of_a_look, stops
from dmt_ray.results.statistics import ERROR

Floats = NDArray[np.float64]

ROWS = 9  # as Table 9 of DMT
RUN, SPLIT = 0.36, 1.0  # sd of a run's error and of what a split adds to all rows, in mIoU points
RESAMPLES = 1000  # of the bootstrap
BOOTSTRAPPED = 2000  # tables that are bootstrapped: enough to see what it is worth


@dataclass(frozen=True)
class Error:
    """What a run adds: a law of mean 0 and sd 1, and for each row how many times RUN it scatters."""

    draw: Callable[[np.random.Generator, tuple[int, ...]], Floats]
    scatter: Mapping[int, float]


ERRORS = {
    "normal": Error(lambda rng, shape: rng.standard_normal(shape), {}),
    "normal; row 1 scatters three times as much": Error(lambda rng, shape: rng.standard_normal(shape), {1: 3.0}),
    "normal; the reference scatters three times as much": Error(
        lambda rng, shape: rng.standard_normal(shape), {0: 3.0}
    ),
    "heavy tails (t with 3 degrees of freedom)": Error(lambda rng, shape: rng.standard_t(3, shape) / 3**0.5, {}),
}


def simulated(tables: int, n: int, error: Error, rng: np.random.Generator) -> Floats:
    """Scores without the rows' true means, float64 ``[tables, ROWS, n]``: every true difference is 0.

    An interval of another true difference moves with it, so that 0 stands for all of them.
    """
    runs = RUN * error.draw(rng, (tables, ROWS, n))
    for row, factor in error.scatter.items():
        runs[:, row] *= factor
    return runs + SPLIT * rng.standard_normal((tables, 1, n))


def halves(scores: Floats) -> dict[str, Floats]:
    """Half-widths of the intervals of rows 1... minus row 0, float64 ``[tables, ROWS - 1]``, by kind.

    Many tables at once; that these are the intervals of `dmt_ray.results.statistics` is what its tests check.
    """
    n = scores.shape[2]
    differences = scores[:, 1:] - scores[:, :1]
    sd = differences.std(axis=2, ddof=1)
    freedom = (ROWS - 1) * (n - 1)
    residuals = (
        scores - scores.mean(2, keepdims=True) - scores.mean(1, keepdims=True) + scores.mean((1, 2), keepdims=True)
    )
    error = np.sqrt((residuals**2).sum((1, 2)) / freedom)
    pooled = stats.t.ppf(0.975, freedom) * error * (2 / n) ** 0.5
    return {
        "paired t": stats.t.ppf(0.975, n - 1) * sd / n**0.5,
        "pooled": np.repeat(pooled[:, None], ROWS - 1, axis=1),
        "1.96 SE": 1.96 * sd / n**0.5,
        "std / sqrt(n), ddof 0": differences.std(axis=2) / n**0.5,
    }


def covered(scores: Floats) -> dict[str, NDArray[np.bool_]]:
    """Whether each interval contains the true difference, bool ``[tables, ROWS - 1]``, by kind."""
    mean = (scores[:, 1:] - scores[:, :1]).mean(axis=2)
    return {kind: np.abs(mean) <= half for kind, half in halves(scores).items()}


def bold(scores: Floats) -> float:
    """Share of tables in which the paired interval of the best row to every other one excludes 0."""
    n = scores.shape[2]
    best = scores.mean(axis=2).argmax(axis=1)
    differences = scores[np.arange(len(scores)), best][:, None] - scores
    half = stats.t.ppf(0.975, n - 1) * differences.std(axis=2, ddof=1) / n**0.5
    above = differences.mean(axis=2) > half
    return float((above.sum(axis=1) == ROWS - 1).mean())


def bootstrap(scores: Floats, rng: np.random.Generator) -> float:
    """Share of tables in which the 95 % percentile bootstrap of row 1 minus row 0 contains the truth."""
    differences = scores[:, 1] - scores[:, 0]
    n = differences.shape[1]
    drawn = rng.integers(0, n, (len(differences), RESAMPLES, n))
    means = np.take_along_axis(differences[:, None], drawn, axis=2).mean(axis=2)
    low, high = np.percentile(means, (2.5, 97.5), axis=1)
    return float(((low <= 0) & (high >= 0)).mean())


def gained(scores: Floats, rows: int, error: float, difference: float = 0.0) -> tuple[float, float, float, float]:
    """What a procedure with looks does in tables of so many rows, the first of which is the reference.

    Args:
        scores: As `simulated`, with as many pairs as the last look.
        rows: How many of the rows are there.
        error: Of a look.
        difference: What rows 1... are truly better, in mIoU points.

    Returns:
        Share of tables in which any row is decided; share of rows that are; mean pairs of a row; share of rows whose
        interval contains the truth where its seeds ended.
    """
    differences = scores[:, 1:rows] - scores[:, :1] + difference
    stopped = stops(differences, LOOKS, error)
    n = np.array([*LOOKS, LOOKS[-1]])[stopped]
    inside = np.zeros(stopped.shape, np.bool_)
    for pairs in LOOKS:
        part = differences[..., :pairs]
        half = stats.t.isf(error / 2, pairs - 1) * part.std(axis=-1, ddof=1) / pairs**0.5
        inside |= (n == pairs) & (np.abs(part.mean(axis=-1) - difference) <= half)
    decided = stopped < len(LOOKS)
    return float(decided.any(axis=1).mean()), float(decided.mean()), float(n.mean()), float(inside.mean())


def print_looks(tables: int, seed: int) -> None:
    """Print what `--until-decided` errs, finds and takes."""
    looks = ", ".join(map(str, LOOKS))
    print(f"\nLooks after {looks} pairs. {tables:,} tables, seed {seed}. Share of tables in which a row is decided")
    print("although no row differs; share of intervals that contain the truth where a row's seeds ended.\n")
    heads = ("run errors", "rows", "error of a look", "decided", "interval right", "decided at .05", "right at .05")
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    for name, law in ERRORS.items():
        scores = simulated(tables, LOOKS[-1], law, np.random.default_rng([seed, 100]))
        for rows in (2, ROWS):
            level = error_of_a_look(LOOKS, rows - 1)
            wrong, _, _, inside = gained(scores, rows, level)
            naive, _, _, naive_inside = gained(scores, rows, ERROR)
            print(f"| {name} | {rows} | {level:.4f} | {wrong:.3f} | {inside:.3f} | {naive:.3f} | {naive_inside:.3f} |")
    print("\nRows that differ, by so many sd of the paired differences (normal run errors): share that is found.\n")
    heads = ("rows", "difference / sd", "found", "pairs, mean", "interval right", "5 pairs", "12 pairs")
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    scores = simulated(tables, LOOKS[-1], ERRORS["normal"], np.random.default_rng([seed, 101]))
    for rows in (2, ROWS):
        for effect in (0.5, 1.0, 1.5, 2.0):
            difference = effect * RUN * 2**0.5
            _, found, pairs, inside = gained(scores, rows, error_of_a_look(LOOKS, rows - 1), difference)
            fixed = [fixed_found(scores[..., :n], rows, difference) for n in (5, 12)]
            print(f"| {rows} | {effect} | {found:.3f} | {pairs:.1f} | {inside:.3f} | {fixed[0]:.3f} | {fixed[1]:.3f} |")


def fixed_found(scores: Floats, rows: int, difference: float) -> float:
    """Share of rows whose interval excludes 0 with a fixed number of pairs, at the same 5 % for the table."""
    differences = scores[:, 1:rows] - scores[:, :1] + difference
    n = differences.shape[-1]
    half = stats.t.isf(ERROR / (rows - 1) / 2, n - 1) * differences.std(axis=-1, ddof=1) / n**0.5
    return float((np.abs(differences.mean(axis=-1)) > half).mean())


def main() -> int | None:
    """Print a table of coverages for each kind of error, and what looks do."""
    options = argparse.ArgumentParser(**help_with(__doc__ or "", "python benchmarks/coverage.py"))
    options.add_argument("--tables", type=int, default=20_000, help="simulated tables (default: 20000)")
    options.add_argument("--seed", type=int, default=0, help="of the simulation (default: 0)")
    chosen = options.parse_args()
    for name, error in ERRORS.items():
        print(f"\nRun errors: {name}. {chosen.tables:,} tables of {ROWS} rows, seed {chosen.seed}.\n")
        kinds = ("paired t", "pooled", "percentile bootstrap", "1.96 SE", "std / sqrt(n), ddof 0")
        heads = ("n", *kinds, "all 8 paired t", "width pooled / paired", "a bold row")
        print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
        for n in (3, 5, 10):
            rng = np.random.default_rng([chosen.seed, n])
            scores = simulated(chosen.tables, n, error, rng)
            found = covered(scores)
            shares = {kind: float(inside[:, 0].mean()) for kind, inside in found.items()}
            shares["percentile bootstrap"] = bootstrap(scores[:BOOTSTRAPPED], rng)
            together = float(found["paired t"].all(axis=1).mean())
            width = halves(scores)
            ratio = float(np.median(width["pooled"][:, 0] / width["paired t"][:, 0]))
            cells = [f"{shares[kind]:.3f}" for kind in kinds] + [
                f"{together:.3f}",
                f"{ratio:.2f}",
                f"{bold(scores):.3f}",
            ]
            print(f"| {n} | " + " | ".join(cells) + " |")
    print_looks(chosen.tables, chosen.seed)
    return None


if __name__ == "__main__":
    raise SystemExit(guarded(main))
