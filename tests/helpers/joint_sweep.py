"""A small sweep with stages written by hand: complete, failed and running trials."""

from pathlib import Path

from dmt_ray.experiments import sweep_file
from dmt_ray.experiments.reproduce_sweep import Replay
from dmt_ray.experiments.sweep import Sweep
from dmt_ray.experiments.sweep_file import SweepFile
from dmt_ray.methods.space import Choice, Uniform
from dmt_ray.search.study import Study, only_one
from dmt_ray.store import Store
from tests.tracking.test_tracking import ABOUT, CONFIG, SCORES, fill

POINTS = tuple({"weight.gamma1": float(i), "method": method} for i, method in enumerate(("dmt", "dst", "dmt", "dmt")))


def sweep(storage: Path) -> Sweep:
    """A sweep of four trials: two complete, one failed after rung 1, one that runs and has nothing of its own yet."""
    space = {"weight.gamma1": Uniform(0, 8), "method": Choice("dst", "dmt")}
    one, store = Sweep("joint", "What is best?", CONFIG, "dmt", space, (0, 1), POINTS), Store(storage)
    folder = storage / "sweeps" / one.name
    folder.mkdir(parents=True)
    sweep_file.write(folder, SweepFile(one, 4, Replay("shapes", (), Path("runs")), ABOUT.to_json()))
    with only_one(folder):
        study = Study(folder, one, 4)
        for number, (rungs, error) in enumerate([(3, None), (3, None), (2, "out of memory"), (1, "")]):
            study.take(str(number))
            for seed, plan in one.plans(POINTS[number]).items():
                fill(store, plan, rungs, gain=0.1 * seed)
            for rung in range(rungs):
                study.report(str(number), rung, SCORES[rung] + 0.05)
            if error != "":
                study.finish(str(number), error)
    return one
