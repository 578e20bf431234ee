r"""How much a DMT training step costs beyond the bare model step, on the same machine in the same run.

The bare step is forward, cross-entropy, backward and optimizer on one batch that lies ready on the device. The DMT step
adds what training needs: reading images and pseudo labels, augmentation, the weight rule, statistics and the schedule.
Both are timed in turn, in blocks of ten steps: a machine whose speed drifts slows both, and the thread that prepares
the next DMT step works beside DMT steps and not beside bare ones. The median of the paired ratios is what counts.

    python benchmarks/step.py                       # shapes on the CPU, one thread
    python benchmarks/step.py --set finetune.optimizer=adamw --set finetune.encoder_rate=0.1 \
      --set finetune.warmup=0.1 --set finetune.clip_norm=1 --set finetune.ema=0.99
    python benchmarks/step.py --device cuda --recipe camvid-full --data camvid/
    python benchmarks/step.py --device cuda --recipe voc-1/20 --random 321x321 --set finetune.precision=bfloat16
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from timing import options_of, prepare, report, wait
from torch import nn

from dmt_ray import models
from dmt_ray.cli.options import guarded
from dmt_ray.config import Config
from dmt_ray.data.splits import divide
from dmt_ray.engine.batch_loader import BatchLoader, RngStream
from dmt_ray.engine.loop import HALF
from dmt_ray.engine.pseudo_labels import PseudoLabels
from dmt_ray.engine.weighted_stepper import WeightedStepper
from dmt_ray.engine.workspace import Workspace
from dmt_ray.execution.gpu import deterministic

BLOCK = 10
NOISE = 64  # steps in an epoch on images of noise


def main() -> int | None:
    """Time both and print the ratio."""
    options = options_of(__doc__)
    options.add_argument("--blocks", type=int, default=20, help="pairs of blocks of ten steps (default: 20)")
    options.add_argument("--compile", action="store_true", help="put both networks through torch.compile")
    what = "time the DMT step with deterministic algorithms against the DMT step without"
    options.add_argument("--deterministic", action="store_true", help=what)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        config, work = prepare(chosen, Path(cache), lambda config: 8 + NOISE * config.finetune.batch[1])
        work = replace(work, compiled=chosen.compile)
        full, bare, names = _dmt_step(config, work), _bare_step(config, work), ("DMT step", "bare step")
        if chosen.deterministic:
            full, bare, names = _deterministic(full), full, ("deterministic", "DMT step")
        pairs = [(_seconds(full, work.device), _seconds(bare, work.device)) for _ in range(chosen.blocks + 1)][1:]
    report(names, pairs, sum(config.finetune.batch))
    return None


def _network(config: Config, work: Workspace) -> nn.Module:
    torch.manual_seed(0)
    network = models.build(config.model.evolve(encoder_weights=None), len(work.dataset.classes))
    network = network.to(work.device).to(memory_format=torch.channels_last)
    models.train_mode(network)
    return network


def _dmt_step(config: Config, work: Workspace) -> Callable[[], None]:
    parts = divide(config.split, config.data, work.dataset)
    # Online labels need no teacher's files; the rule of the recipe then weighs them as it would a teacher's.
    pseudo = PseudoLabels(work.dataset.subsets["train"], parts.unlabelled, None)
    loader = BatchLoader(work, config.finetune, parts.labelled, pseudo, RngStream(0, "A", 1))
    stepper = WeightedStepper(_network(config, work), loader, config.finetune, config.weight, work)
    numbers = iter(range(10**9))
    return lambda: stepper.step(next(numbers) % loader.steps)


def _deterministic(step: Callable[[], None]) -> Callable[[], None]:
    def exactly() -> None:
        with deterministic(True):
            step()

    return exactly


def _bare_step(config: Config, work: Workspace) -> Callable[[], None]:
    network = _network(config, work)
    count, crop = sum(config.finetune.batch), config.finetune.augment.crop
    images = torch.randn(count, 3, *crop, device=work.device).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(len(work.dataset.classes), (count, *crop), device=work.device)
    trained = torch.compile(network) if work.compiled else network
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4, foreach=True)
    loss_of = nn.CrossEntropyLoss()
    half = HALF.get(config.finetune.precision)

    def step() -> None:
        with torch.autocast(work.device.type, half or torch.bfloat16, enabled=half is not None):
            logits = trained(images)
        loss = loss_of(logits.float(), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def _seconds(step: Callable[[], None], device: torch.device) -> float:
    """Mean time of a step of a block, after one that is not counted."""
    step()
    wait(device)
    began = time.perf_counter()
    for _ in range(BLOCK):
        step()
    wait(device)
    mean = (time.perf_counter() - began) / BLOCK
    time.sleep(0.01)  # what was prepared ahead is ready when the other block begins
    return mean


if __name__ == "__main__":
    raise SystemExit(guarded(main))
