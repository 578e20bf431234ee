"""What step.py and label.py share: options, images of noise, and paired times."""

import argparse
import re
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from dmt_ray.config import Config, Data, Split
from dmt_ray.data import Dataset, open_dataset
from dmt_ray.data.images import Images
from dmt_ray.data.sets import camvid, cityscapes, voc
from dmt_ray.data.sets.folder import FolderData
from dmt_ray.engine.workspace import Workspace, device_of
from dmt_ray.recipes import load

CLASSES = {"camvid": camvid.CLASSES, "cityscapes": cityscapes.CLASSES, "voc": voc.CLASSES}


def options_of(description: str | None) -> argparse.ArgumentParser:
    """The options of both benchmarks."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--recipe", default="shapes")
    options.add_argument("--set", action="append", default=[], dest="changes", metavar="SETTING=VALUE")
    options.add_argument("--data", type=Path, help="folder of the data set (default: looked up in $DMT_DATA)")
    options.add_argument("--random", type=_size, metavar="HxW", help="images of noise of this size instead of data")
    options.add_argument("--device", default="cpu")
    options.add_argument("--threads", type=int, default=1)
    return options


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"a size reads 321x321, but got {text!r}")
    return int(match[1]), int(match[2])


def prepare(chosen: argparse.Namespace, cache: Path, noise: Callable[[Config], int]) -> tuple[Config, Workspace]:
    """Settings, and the workspace that the options ask for.

    Args:
        chosen: What `options_of` has parsed.
        cache: Folder for decoded images.
        noise: How many train images to make where none are read.
    """
    torch.set_num_threads(chosen.threads)
    config = load(chosen.recipe, chosen.changes)
    if chosen.random is None:
        dataset = open_dataset(config.data, chosen.data, cache)
    else:
        dataset = noise_of(config.data, noise(config), chosen.random)
        config = config.evolve(split=Split(labelled=8))
    return config, Workspace(dataset, device_of(chosen.device), normalisation=config.data.normalisation)


def noise_of(data: Data, count: int, size: tuple[int, int]) -> Dataset:
    """So many images of noise in each subset, with the classes of a data set; the same each time."""
    classes = data.classes if isinstance(data, FolderData) else CLASSES.get(data.name, tuple("abcdef"))
    generator, pixels = np.random.default_rng(0), count * size[0] * size[1]
    images = Images(
        ids=tuple(f"noise_{i:05}" for i in range(count)),
        sizes=np.full((count, 2), size, np.int32),
        offsets=np.arange(count + 1) * (size[0] * size[1]),
        pixels=generator.integers(0, 256, (pixels, 3), np.uint8),
        masks=generator.integers(0, len(classes), pixels, np.uint8),
        known=np.ones(count, np.bool_),
    )
    palette = np.zeros((len(classes), 3), np.uint8)
    return Dataset("noise", classes, palette, "noise", dict.fromkeys(("train", "val", "test"), images), None)


def wait(device: torch.device) -> None:
    """Until the device has done all it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def report(names: tuple[str, str], pairs: Sequence[tuple[float, float]], images: int) -> None:
    """Print the median of both times, what it means in images a second, and the paired ratios.

    Args:
        names: Of the two things that were timed.
        pairs: Their seconds, in turn.
        images: How many images that took.
    """
    medians = [statistics.median(pair[i] for pair in pairs) for i in range(2)]
    for i, name in enumerate(names):
        fastest = min(pair[i] for pair in pairs)
        print(
            f"{name:14} median {1000 * medians[i]:9.2f} ms, fastest {1000 * fastest:9.2f} ms, "
            f"{images / medians[i]:8.1f} images/s"
        )
    ratios = sorted(first / second for first, second in pairs)
    print(
        f"ratio of medians {medians[0] / medians[1]:.3f}, "
        f"median of the {len(ratios)} paired ratios {statistics.median(ratios):.3f} "
        f"(quartiles {ratios[len(ratios) // 4]:.3f} to {ratios[3 * len(ratios) // 4]:.3f})"
    )
