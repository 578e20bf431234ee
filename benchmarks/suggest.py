"""Do the pictures that `dmt suggest` names teach more than pictures drawn at random, or than the most uncertain ones?

The data set has all masks, of which all but a few are hidden. On each seed models A and B are pretrained on the
pictures whose masks are open (rung 0 of DMT); `suggest` chooses as many pictures again by disagreement, by entropy and
at random; their masks are opened; and a baseline is trained on all that are open then. The test mIoU of these baselines
is compared pairwise: with one seed all have the same first pictures, initial weights and number of optimizer steps (a
baseline on the first pictures alone has some more, since small last batches count as steps). Nothing is tuned, and no
snapshot is selected.

Killed? Start it again: what is done is found in the storage folder. The data set's folder is not written to; the lists
lie beside links to it in the storage folder.

    python benchmarks/suggest.py --storage runs/suggest          # CamVid below DMT_DATA, about 15 minutes on a core
    python benchmarks/suggest.py --storage runs/suggest --dry-run
"""

import argparse
import functools
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from dmt_ray.api.trained import find_model
from dmt_ray.cli.options import guarded
from dmt_ray.config import Config
from dmt_ray.data import Dataset, divide, find_root
from dmt_ray.engine.informative import drawn, judge, spread
from dmt_ray.engine.tiles import Predictor, Tiling
from dmt_ray.execution.runner import Machine, Runner
from dmt_ray.methods import METHODS
from dmt_ray.plan import Plan, Stage
from dmt_ray.plan.key import key_of
from dmt_ray.recipes import load
from dmt_ray.results.scores import rung_score
from dmt_ray.results.statistics import mean_and_sd, paired_interval, sign_flip, visible, wins

WAYS = ("disagreement", "entropy", "random")
SMALL = (  # what a core does in a few seconds: pictures of 72 x 96, and an encoder that keeps ImageNet's weights
    "data.size=[72, 96]", "crop=[64, 96]", "model.frozen=true", "model.frozen_statistics=false", "dms_alpha=0.8",
)  # fmt: skip


def main() -> int | None:
    """Perform all trainings and print the tables."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--recipe", default="camvid-lite0")
    options.add_argument("--set", action="append", default=[], dest="changes", metavar="SETTING=VALUE")
    options.add_argument("--first", type=int, default=20, metavar="N", help="pictures with open masks (default: 20)")
    options.add_argument("--count", type=int, default=20, metavar="N", help="pictures to add (default: 20)")
    options.add_argument("--steps", type=int, default=160, metavar="N", help="optimizer steps, about (default: 160)")
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    options.add_argument("--storage", type=Path, required=True)
    options.add_argument("--data", type=Path)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--dry-run", action="store_true", help="say which trainings there would be, and stop")
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    storage = chosen.storage.absolute()
    config = load(chosen.recipe, (*SMALL, *chosen.changes))
    view = storage / "data-with-lists"
    runner = Runner(Machine(storage, view, device="cpu", threads=chosen.threads))
    _link(find_root(config.data, chosen.data), view)
    work = functools.partial(_seed, runner, config, view, chosen)
    rows: dict[str, dict[int, float]] = {name: {} for name in ("before", *WAYS)}
    for seed in chosen.seeds:
        began = time.perf_counter()
        scores = work(seed)
        for name, score in scores.items():
            rows[name][seed] = 100 * score
        print(f"seed {seed}: {time.perf_counter() - began:.0f} s", flush=True)
    if not chosen.dry_run:
        _print_tables(rows, chosen)
    return None


def _link(root: Path, view: Path) -> None:
    """Make a folder with links to all that is in the data set's folder, in which lists can be written."""
    view.mkdir(parents=True, exist_ok=True)
    for path in root.iterdir():
        if not (view / path.name).is_symlink():
            (view / path.name).symlink_to(path.absolute())


def _seed(runner: Runner, config: Config, view: Path, chosen: argparse.Namespace, seed: int) -> Mapping[str, float]:
    """Test mIoU of a baseline on the first pictures, and on those chosen in each way beside them."""
    first = _with_steps(config.evolve(split=config.split.evolve(labelled=chosen.first, rule="random")), chosen.steps)
    first = runner.bind(first, [seed])
    pair = METHODS["dmt"](first, seed).rungs[0]
    plans = {"before": METHODS["baseline"](first, seed)}
    if chosen.dry_run:
        print(f"seed {seed}: {len(runner.store.missing(_targets(plans['before'], pair)))} stages are missing at first")
        return {}
    runner.perform(_targets(plans["before"], pair))
    dataset = runner.dataset(first.data)
    parts = divide(first.split.for_seed(seed), first.data, dataset)
    ids = dataset.subsets["train"].ids
    for way, places in _suggested(runner, dataset, pair, parts.unlabelled, chosen, seed).items():
        added = [parts.unlabelled[place] for place in places]
        listed = [ids[position] for position in (*parts.labelled, *added)]
        name = f"list-{key_of(listed)}.txt"
        (view / name).write_text("".join(f"{id}\n" for id in listed), encoding="utf-8")
        split = first.split.evolve(rule="list", list=name, labelled=len(listed), list_digest="")
        more = runner.bind(_with_steps(first.evolve(split=split), chosen.steps), [seed])
        plans[way] = METHODS["baseline"](more, seed)
        runner.perform(_targets(plans[way]))
    return {name: rung_score(runner.store, plan.rungs[-1], "reported") for name, plan in plans.items()}


def _targets(plan: Plan, rung: Mapping[str, Stage] | None = None) -> list[Stage]:
    return [*plan.rungs[-1].values(), *(rung or {}).values()]


def _with_steps(config: Config, steps: int) -> Config:
    """As many epochs as are ``steps`` whole batches; where the last one of each is smaller, these are more steps."""
    labelled, pretrain = int(config.split.labelled), config.pretrain
    return config.evolve(pretrain=pretrain.evolve(epochs=max(1, round(steps * pretrain.batch[0] / labelled))))


def _suggested(
    runner: Runner,
    dataset: Dataset,
    pair: Mapping[str, Stage],
    unlabelled: Sequence[int],
    chosen: argparse.Namespace,
    seed: int,
) -> dict[str, list[int]]:
    """Places in `unlabelled` of the pictures that each way names."""
    models = [find_model(pair[side].inputs["model"].key, chosen.storage) for side in ("A", "B")]
    networks = [network for model in models for network in model.networks]
    images, device = dataset.subsets["train"], torch.device("cpu")
    sides = images.sizes.max(axis=0)
    tiling = Tiling((int(sides[0]), int(sides[1])))
    predictor = Predictor(networks, tiling, device, maps=("disagreement", "entropy"))
    judged = judge(predictor, images, unlabelled, len(dataset.classes))
    ways = {way: spread(judged.values[way], judged.shares, chosen.count) for way in ("disagreement", "entropy")}
    common = len({*ways["disagreement"]} & {*ways["entropy"]})
    correlation = np.corrcoef(judged.values["disagreement"], judged.values["entropy"])[0, 1]
    print(f"seed {seed}: {common} of {chosen.count} in common, correlation of the two {correlation:.2f}", flush=True)
    return ways | {"random": drawn(len(unlabelled), chosen.count, seed)}


def _print_tables(rows: Mapping[str, Mapping[int, float]], chosen: argparse.Namespace) -> None:
    seeds = chosen.seeds
    print(f"\nTest mIoU (%) with {chosen.first} labelled pictures (before) and {chosen.count} more.\n")
    print("| chosen by | " + " | ".join(f"seed {seed}" for seed in seeds) + " | mean ± sd |")
    print("|---|" + "---|" * (len(seeds) + 1))
    for name, values in rows.items():
        mean, sd = mean_and_sd(list(values.values()))
        cells = " | ".join(f"{values[seed]:.2f}" for seed in seeds)
        print(f"| {name} | {cells} | {mean:.2f} ± {sd:.2f} |")
    print(f"\nPaired differences (points). {visible(len(seeds))}\n")
    print("| | mean | 95 % interval | wins | sign-flip p |")
    print("|---|---|---|---|---|")
    pairs = [("disagreement", "random"), ("entropy", "random"), ("disagreement", "entropy"), ("random", "before")]
    for a, b in pairs:
        differences = [rows[a][seed] - rows[b][seed] for seed in seeds]
        interval, won = paired_interval(differences), wins(differences)
        print(
            f"| {a} - {b} | {interval.mean:+.2f} | {interval.low:+.2f} to {interval.high:+.2f} | "
            f"{won.wins} of {won.pairs} | {sign_flip(differences).p:.3f} |"
        )


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    raise SystemExit(guarded(main))
