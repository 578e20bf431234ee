"""How much a DMT training step costs beyond the bare model step, on the same machine in the same run.

The bare step is forward, cross-entropy, backward and optimizer on one batch that lies ready on the device. The DMT step
adds what training needs: reading images and pseudo labels, augmentation, the weight rule, statistics and the schedule.
Both are timed in turn, in blocks of ten steps: a machine whose speed drifts slows both, and the thread that prepares
the next DMT step works beside DMT steps and not beside bare ones. The median of the paired ratios is what counts.

    python benchmarks/step.py                       # shapes on the CPU, one thread
    python benchmarks/step.py --device cuda --recipe camvid-full --data camvid/
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from dmt_ray import models
from dmt_ray.commandline import guarded
from dmt_ray.config import Config
from dmt_ray.data import open_dataset
from dmt_ray.data.splits import divide
from dmt_ray.engine.feeding import Feed, Stream
from dmt_ray.engine.labels import PseudoLabels
from dmt_ray.engine.training import Stepper
from dmt_ray.engine.workspace import Workspace, device_of
from dmt_ray.recipes import load

BLOCK = 10


def main() -> int | None:
    """Time both and print the ratio."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--recipe", default="shapes")
    options.add_argument("--set", action="append", default=[], dest="changes", metavar="SETTING=VALUE")
    options.add_argument("--data", type=Path)
    options.add_argument("--device", default="cpu")
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--blocks", type=int, default=20, help="pairs of blocks of ten steps (default: 20)")
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    device = device_of(chosen.device)
    config = load(chosen.recipe, chosen.changes)
    with tempfile.TemporaryDirectory() as cache:
        work = Workspace(open_dataset(config.data, chosen.data, Path(cache)), device)
        full, bare = _dmt_step(config, work), _bare_step(config, work)
        pairs = [(_seconds(full, device), _seconds(bare, device)) for _ in range(chosen.blocks + 1)][1:]
    times = [[1000 * pair[i] for pair in pairs] for i in range(2)]
    for name, values in zip(("DMT step", "bare step"), times, strict=True):
        print(f"{name:10} median {statistics.median(values):7.2f} ms, fastest {min(values):7.2f} ms")
    ratios = sorted(full_time / bare_time for full_time, bare_time in pairs)
    print(
        f"ratio of medians {statistics.median(times[0]) / statistics.median(times[1]):.3f}, "
        f"median of the {len(ratios)} paired ratios {statistics.median(ratios):.3f} "
        f"(quartiles {ratios[len(ratios) // 4]:.3f} to {ratios[3 * len(ratios) // 4]:.3f})"
    )
    return None


def _network(config: Config, work: Workspace) -> nn.Module:
    torch.manual_seed(0)
    network = models.build(config.model, len(work.dataset.classes))
    return network.to(work.device).to(memory_format=torch.channels_last).train()


def _dmt_step(config: Config, work: Workspace) -> Callable[[], None]:
    parts = divide(config.split, config.data, work.dataset)
    # Online labels need no teacher's files; the rule of the recipe then weighs them as it would a teacher's.
    pseudo = PseudoLabels(work.dataset.subsets["train"], parts.unlabelled, None)
    feed = Feed(work, config.finetune, parts.labelled, pseudo, Stream(0, "A", 1))
    stepper = Stepper(_network(config, work), feed, config.finetune, config.weight, work)
    numbers = iter(range(10**9))
    return lambda: stepper.step(next(numbers) % feed.steps)


def _bare_step(config: Config, work: Workspace) -> Callable[[], None]:
    network = _network(config, work)
    count, crop = sum(config.finetune.batch), config.finetune.augment.crop
    images = torch.randn(count, 3, *crop, device=work.device).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(len(work.dataset.classes), (count, *crop), device=work.device)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4, foreach=True)
    loss_of = nn.CrossEntropyLoss()
    half = config.finetune.precision == "bfloat16"

    def step() -> None:
        with torch.autocast(work.device.type, torch.bfloat16, enabled=half):
            logits = network(images)
        loss = loss_of(logits.float(), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def _seconds(step: Callable[[], None], device: torch.device) -> float:
    """Mean time of a step of a block, after one that is not counted."""
    step()
    _wait(device)
    began = time.perf_counter()
    for _ in range(BLOCK):
        step()
    _wait(device)
    mean = (time.perf_counter() - began) / BLOCK
    time.sleep(0.01)  # what was prepared ahead is ready when the other block begins
    return mean


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    raise SystemExit(guarded(main))
