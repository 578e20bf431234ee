"""How much faster a DMT trial is with two workers on two cores than with one worker on one.

Both perform the same plan, rung by rung in turn: a machine whose speed drifts slows both. The one worker is this
process, pinned to one core; the two are those of a Ray Train run for each rung. What a run needs before its first stage
begins and after its last one is shown apart, as it does not grow with the work.

    python benchmarks/workers.py                 # shapes with four times its training: about ten minutes
    python benchmarks/workers.py --times 1
"""

import argparse
import functools
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from dmt_ray.cli.options import guarded
from dmt_ray.execution import cluster
from dmt_ray.execution.allocation import WorkerGroup
from dmt_ray.execution.runner import Machine, Runner
from dmt_ray.execution.worker_group import GroupRunner
from dmt_ray.plan import Stage
from dmt_ray.recipes import load


def main() -> int | None:
    """Time every rung both ways, and print the ratios."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--recipe", default="shapes")
    options.add_argument("--data", type=Path)
    options.add_argument("--times", type=int, default=4, help="factor on the epochs of the recipe (default: 4)")
    options.add_argument("--workers", type=int, default=2, help="workers, each with a core (default: 2)")
    chosen = options.parse_args()
    cores = sorted(cluster.cores())
    cluster.connect(None, cpus=chosen.workers)
    from dmt_ray.methods.mutual import dmt

    config = load(chosen.recipe)
    longer = [f"{name}.epochs={getattr(config, name).epochs * chosen.times}" for name in ("pretrain", "finetune")]
    config = load(chosen.recipe, longer)
    with tempfile.TemporaryDirectory() as folder:
        alone = Runner(Machine(Path(folder) / "alone", chosen.data, "cpu"))
        machine = Machine(Path(folder) / "together", chosen.data, "cpu")
        worker_group = GroupRunner(machine, WorkerGroup(chosen.workers))
        Runner(machine).bind(config)  # decodes the data
        plan = dmt(alone.bind(config), 0)
        print(f"{'rung':>4} {'1 worker':>10} {chosen.workers:>2} workers {'ratio':>6} {'start and end':>14}")
        sums = [0.0, 0.0, 0.0]
        for number, rung in enumerate(plan.rungs):
            _pin(cores[:1])
            one = _alone(alone, list(rung.values()))
            _pin(cores)
            work, around = _together(worker_group, list(rung.values()), Path(folder))
            sums = [total + value for total, value in zip(sums, (one, work, around), strict=True)]
            print(f"{number:>4} {one:>8.1f} s {work:>8.1f} s {work / one:>6.2f} {around:>12.1f} s", flush=True)
        one, work, around = sums
        print(f" all {one:>8.1f} s {work:>8.1f} s {work / one:>6.2f} {around:>12.1f} s")
        print(f"with the starts and ends of the runs: {(work + around) / one:.2f}")
        same = _bytes(alone, plan.stages()) == _bytes(worker_group, plan.stages())
        print(f"the two have {'the same bytes' if same else 'DIFFERENT BYTES'} in all {len(plan.stages())} stages")
    cluster.disconnect()
    return None if same else 1


def _pin(cores: Sequence[int]) -> None:
    if hasattr(os, "sched_setaffinity"):  # not on macOS
        os.sched_setaffinity(0, cores)


def _alone(runner: Runner, targets: Sequence[Stage]) -> float:
    began = time.perf_counter()
    runner.perform(targets)
    return time.perf_counter() - began


def _together(runner: GroupRunner, targets: Sequence[Stage], folder: Path) -> tuple[float, float]:
    """Seconds from the beginning of the first stage to the end of the last, and all other seconds."""
    marks = folder / "begun"
    marks.write_text("")
    ends: list[float] = []
    began = time.time()
    runner.perform(targets, begun=functools.partial(_mark, marks), done=lambda stage: ends.append(time.time()))
    whole = time.time() - began
    work = max(ends) - min(float(line) for line in marks.read_text().split())
    return work, whole - work


def _mark(marks: Path, stage: Stage, side: int) -> None:
    with marks.open("a") as file:
        file.write(f"{time.time()}\n")


def _bytes(runner: Runner | GroupRunner, stages: Sequence[Stage]) -> list[object]:
    return [runner.store.record(stage).files for stage in stages]


if __name__ == "__main__":
    raise SystemExit(guarded(main))
