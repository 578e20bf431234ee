"""What the built-in toy data set shows: baseline, CBST, DMT and the oracle on seeds that nothing was tuned on.

The recipe `shapes` was tuned on small seeds; those from 100 on are kept for this report
(docs/explanation/results/shapes.md). Seeds are paired: with the same seed all methods have the same labelled images,
initial weights and order of images.

    python benchmarks/shapes.py --seeds 100 101 102 103 104 --out docs/pictures/
"""

import argparse
import multiprocessing
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import stats

from dmt_ray.cli.declared import STORAGE
from dmt_ray.cli.options import guarded
from dmt_ray.config import Config
from dmt_ray.execution.runner import Machine, Runner
from dmt_ray.methods import METHODS
from dmt_ray.recipes import load
from dmt_ray.results.scores import rung_score

COLOURS = {"baseline": "#666666", "cbst": "#D55E00", "dst": "#CC79A7", "dmt": "#0072B2", "oracle": "#009E73"}


def main() -> int | None:
    """Perform the plans and print the tables."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--recipe", default="shapes")
    options.add_argument("--set", action="append", default=[], dest="changes", metavar="SETTING=VALUE")
    options.add_argument("--seeds", type=int, nargs="+", default=[100, 101, 102, 103, 104])
    options.add_argument("--methods", nargs="+", default=["baseline", "cbst", "dmt", "oracle"], choices=list(METHODS))
    options.add_argument("--storage", type=Path, default=STORAGE)
    options.add_argument("--data", type=Path)
    options.add_argument("--processes", type=int, default=os.cpu_count())
    options.add_argument("--out", type=Path, help="folder for shapes_curves.png")
    chosen = options.parse_args()
    machine = Machine(chosen.storage, chosen.data)
    config = Runner(machine).bind(load(chosen.recipe, chosen.changes), chosen.seeds)
    jobs = [(machine, config, method, seed) for seed in chosen.seeds for method in chosen.methods]
    began = time.perf_counter()
    with ProcessPoolExecutor(chosen.processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        for job, seconds in zip(jobs, pool.map(_perform, *zip(*jobs, strict=True)), strict=True):
            print(f"{job[2]} seed {job[3]}: {seconds:.0f} s", flush=True)
    print(f"all: {time.perf_counter() - began:.0f} s in {chosen.processes} processes\n")
    scores = {method: _scores(machine, config, method, chosen.seeds) for method in chosen.methods}
    _print_tables(scores, chosen.seeds)
    if chosen.out and len(chosen.seeds) > 1 and "baseline" in scores:
        _curves(scores).savefig(chosen.out / "shapes_curves.png", dpi=150)
    return None


def _perform(machine: Machine, config: Config, method: str, seed: int) -> float:
    plan = METHODS[method](config, seed)
    began = time.process_time()
    Runner(machine).perform([stage for rung in plan.rungs for stage in rung.values()])
    return time.process_time() - began


def _scores(machine: Machine, config: Config, method: str, seeds: Sequence[int]) -> NDArray[np.float64]:
    """Reported mIoU in percent, mean over the models, ``[seeds, rungs]``."""
    store = Runner(machine).store
    return 100 * np.array(
        [[rung_score(store, rung, "reported") for rung in METHODS[method](config, seed).rungs] for seed in seeds]
    )


def _print_tables(scores: dict[str, NDArray[np.float64]], seeds: Sequence[int]) -> None:
    print("Reported mIoU (%) after the last iteration; no snapshot is selected.\n")
    print("| method | " + " | ".join(f"seed {seed}" for seed in seeds) + " | mean ± sd |")
    print("|---|" + "---|" * (len(seeds) + 1))
    for method, values in scores.items():
        last = values[:, -1]
        cells = " | ".join(f"{value:.2f}" for value in last)
        print(f"| {method} | {cells} | {last.mean():.2f} ± {_sd(last):.2f} (n={len(last)}) |")
    print("\nMean over the seeds after each iteration (0: pretrained).\n")
    for method, values in scores.items():
        print(f"{method:10} " + "  ".join(f"{value:5.2f}" for value in values.mean(axis=0)))
    print("\nPaired differences, 95 % t interval.\n")
    for a, b in (("dmt", "baseline"), ("dmt", "cbst"), ("dmt", "dst"), ("cbst", "baseline"), ("oracle", "baseline")):
        if a in scores and b in scores:
            difference = scores[a][:, -1] - scores[b][:, -1]
            wins = int((difference > 0).sum())
            print(f"{a} - {b}: {difference.mean():+.2f} ± {_half_width(difference):.2f}, wins {wins}/{len(difference)}")


def _sd(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")


def _half_width(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half of the 95 % t interval of the mean over the first axis."""
    n = len(differences)
    half: NDArray[np.float64] = stats.t.ppf(0.975, n - 1) * differences.std(axis=0, ddof=1) / np.sqrt(n)
    return half


def _curves(scores: dict[str, NDArray[np.float64]]) -> Figure:
    """DMT's Fig. 11 as paired differences: the seeds differ more from each other than the methods do."""
    baseline = scores["baseline"][:, :1]
    figure = Figure(figsize=(6.8, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.axhline(0, color=COLOURS["baseline"], linestyle="--", linewidth=1.5, label="baseline")
    iterative = [method for method, values in scores.items() if values.shape[1] > 1]
    for place, method in enumerate(iterative):
        differences = scores[method] - baseline
        x = np.arange(differences.shape[1]) + 0.06 * (place - (len(iterative) - 1) / 2)
        mean, colour = differences.mean(axis=0), COLOURS.get(method)
        axes.errorbar(x, mean, _half_width(differences), marker="o", capsize=3, color=colour, label=method)
    axes.set_xlabel("iteration (0: labelled images only)")
    axes.set_ylabel("mIoU minus the baseline's, same seed (points)")
    axes.set_title(f"Mean over {len(baseline)} seeds, 95 % t interval", loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", frameon=False)
    return figure


if __name__ == "__main__":
    raise SystemExit(guarded(main))
