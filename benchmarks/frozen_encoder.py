r"""What a step of training would cost if the features of a frozen encoder were read and not computed.

Three steps on one batch that lies ready on the device, in turn, in blocks: the whole network trained; its encoder
frozen (`model.frozen`), which is what trainings do; and its decoder alone, on features that are there. The ratio of the
last two bounds what keeping features could save: reading them, and choosing among views of a picture, comes on top.

    python benchmarks/frozen_encoder.py                                    # voc-animals-lite0, one thread
    python benchmarks/frozen_encoder.py --set crop=96 --random 96x96
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from timing import options_of, prepare, report
from torch import Tensor, nn

from dmt_ray import models
from dmt_ray.cli.options import guarded

BLOCK = 5


def main() -> int | None:
    """Time all three and print two ratios."""
    options = options_of(__doc__)
    options.set_defaults(recipe="voc-animals-lite0", random=(128, 128))
    options.add_argument("--blocks", type=int, default=12, help="rounds of blocks of five steps (default: 12)")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        config, work = prepare(chosen, Path(cache), lambda config: 8)
    classes, count = len(work.dataset.classes), sum(config.finetune.batch)
    model = config.model.evolve(encoder_weights=None)
    trained = models.build(model.evolve(frozen=False), classes).to(work.device)
    frozen = models.build(model.evolve(frozen=True), classes).to(work.device)
    images = torch.randn(count, 3, *config.finetune.augment.crop, device=work.device)
    labels = torch.randint(classes, (count, *images.shape[2:]), device=work.device)
    models.train_mode(trained)
    models.train_mode(frozen)
    with torch.no_grad():
        features = frozen.get_submodule("encoder")(images)
    decode = _decoder(frozen)
    steps = (
        _step(trained, lambda: trained(images), labels),
        _step(frozen, lambda: frozen(images), labels),
        _step(frozen, lambda: decode(features), labels),
    )
    rounds = [[_seconds(step) for step in steps] for _ in range(chosen.blocks + 1)][1:]
    report(("all trained", "encoder frozen"), [(a, b) for a, b, _ in rounds], count)
    report(("encoder frozen", "decoder alone"), [(b, c) for _, b, c in rounds], count)
    return None


def _decoder(network: nn.Module) -> Callable[[Sequence[Tensor]], Tensor]:
    """What is behind the encoder of a network of segmentation-models-pytorch."""
    decoder, head = network.get_submodule("decoder"), network.get_submodule("segmentation_head")
    return lambda features: head(decoder(features))


def _step(network: nn.Module, forward: Callable[[], Tensor], labels: Tensor) -> Callable[[], None]:
    learning = [weights for weights in network.parameters() if weights.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=1e-4, foreach=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss: Any = nn.functional.cross_entropy(forward(), labels)
        loss.backward()
        optimizer.step()

    return step


def _seconds(step: Callable[[], None]) -> float:
    began = time.perf_counter()
    for _ in range(BLOCK):
        step()
    return (time.perf_counter() - began) / BLOCK


if __name__ == "__main__":
    raise SystemExit(guarded(main))
