"""How much a labelling pass costs beyond the bare forward pass over the same images, in the same run.

The bare pass is the network alone, on the batches that labelling gives it, which lie ready on the device. Labelling
reads the images, normalises them, ranks the predictions, writes labels and codes, selects and sums up; only loading
the teacher is left out, so that few images tell what many would cost. Both run in turn; the median of the paired
ratios is what counts.

    python benchmarks/label.py                      # shapes on the CPU, one thread
    python benchmarks/label.py --device cuda --recipe voc-1/20 --random 321x321
    python benchmarks/label.py --device cuda --recipe camvid-full --data camvid/
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest import mock

import torch
from timing import options_of, prepare, report, wait

from dmt_ray import models
from dmt_ray.cli.options import guarded
from dmt_ray.config import Config, Split
from dmt_ray.data.images import Images
from dmt_ray.data.splits import divide
from dmt_ray.engine.inference import WholeImages, by_size
from dmt_ray.engine.label import label
from dmt_ray.engine.workspace import Workspace
from dmt_ray.plan.operations.label import Label


def main() -> int | None:
    """Time both and print the ratio."""
    options = options_of(__doc__)
    options.add_argument("--images", type=int, default=256, help="images to label, at most (default: 256)")
    options.add_argument("--runs", type=int, default=5, help="pairs of passes (default: 5)")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config, work = prepare(chosen, folder / "data", lambda _: chosen.images + 1)
        train = _first(work.dataset.subsets["train"], chosen.images + 1)
        # One of them has to be labelled already. No image is selected by or reported.
        work = replace(work, dataset=replace(work.dataset, subsets=dict.fromkeys(("train", "val", "test"), train)))
        config = config.evolve(split=Split(labelled=1))
        torch.manual_seed(0)
        network = models.build(config.model, len(work.dataset.classes))
        network = network.to(work.device).to(memory_format=torch.channels_last).eval()
        full, bare = _labelling(config, work, folder), _bare(network, config, work)
        with mock.patch.object(models, "load", return_value=(network, {})):
            pairs = [(_seconds(full, work), _seconds(bare, work)) for _ in range(chosen.runs + 1)][1:]
    report(("labelling pass", "bare pass"), pairs, len(train) - 1)
    return None


def _first(images: Images, count: int) -> Images:
    count = min(count, len(images))
    return Images(
        images.ids[:count],
        images.sizes[:count],
        images.offsets[: count + 1],
        images.pixels,
        images.masks,
        images.known[:count],
    )


def _labelling(config: Config, work: Workspace, folder: Path) -> Callable[[], None]:
    settings = Label(data=config.data, split=config.split, rule=config.label, share=config.percentiles[0])

    def run() -> None:
        with tempfile.TemporaryDirectory(dir=folder) as out, tempfile.TemporaryDirectory(dir=folder) as scratch:
            label(settings, replace(work, inputs={"teacher": folder}, out=Path(out), scratch=Path(scratch)))

    return run


def _bare(network: torch.nn.Module, config: Config, work: Workspace) -> Callable[[], None]:
    images = work.dataset.subsets["train"]
    positions = divide(config.split, config.data, work.dataset).unlabelled
    whole = WholeImages(network, work, images)
    batches = [
        whole.inputs([positions[place] for place in places]) for places in by_size(images, positions, work.eval_batch)
    ]

    @torch.inference_mode()
    def run() -> None:
        for batch in batches:
            network(batch)

    return run


def _seconds(run: Callable[[], None], work: Workspace) -> float:
    wait(work.device)
    began = time.perf_counter()
    run()
    wait(work.device)
    return time.perf_counter() - began


if __name__ == "__main__":
    raise SystemExit(guarded(main))
