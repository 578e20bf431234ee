r"""What predicting in tiles costs beside the bare network on the same tiles: a large picture, or a folder of pictures.

python benchmarks/predict.py                   # 8,000 x 8,000, Unet on mobilenet_v2, tiles of 256
python benchmarks/predict.py --side 2000
python benchmarks/predict.py --folder 500      # pictures of 360 x 480, with reading and writing of all files
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from torch import nn

from dmt_ray import models
from dmt_ray.api.predicting import Job, predict_folder
from dmt_ray.api.trained import Trained
from dmt_ray.config import Model
from dmt_ray.data.files import colours
from dmt_ray.deploy.model_info import DataUsed, ModelInfo
from dmt_ray.engine.tiles import Predictor, Tiling, cut, tiles_together

CLASSES = 21
OF_FOLDER = (360, 480)  # the size of CamVid's images


def main() -> int:
    """Time both and print the ratio and the peak memory of the process."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--side", type=int, default=8000, help="of the picture, in pixels")
    options.add_argument("--folder", type=int, help="number of pictures in a folder, in place of a large one")
    options.add_argument("--tile", type=int, default=256)
    options.add_argument("--encoder", default="mobilenet_v2")
    options.add_argument("--threads", type=int, default=1)
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    model = Model(architecture="Unet", encoder=chosen.encoder)
    network = models.build(model, CLASSES).eval()
    tiling = Tiling((chosen.tile, chosen.tile))
    if chosen.folder:
        sizes, tiled = [OF_FOLDER] * chosen.folder, _folder(network, model, tiling, chosen.folder)
    else:
        sizes = [(chosen.side, chosen.side)]
        image = Image.effect_noise((chosen.side, chosen.side), 60).convert("RGB")
        predictor = Predictor([network], tiling, torch.device("cpu"))
        began = time.process_time()
        predictor.predict(image)
        tiled = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # kilobytes on Linux
    tiles, bare = _bare(network, tiling, sizes)
    print(f"{tiles} tiles: {tiled:.1f} s of CPU, the bare network {bare:.1f} s, ratio {tiled / bare:.3f}")
    print(f"{tiled / len(sizes):.3f} s a picture; peak memory of the process {peak:.2f} GB")
    return 0


def _folder(network: nn.Module, model: Model, tiling: Tiling, count: int) -> float:
    """Seconds of CPU to predict a folder of JPEGs, classes and overlays written."""
    info = ModelInfo(
        name="benchmark",
        model=model,
        classes=tuple(f"class {number}" for number in range(CLASSES)),
        palette=tuple(map(tuple, colours(CLASSES).tolist())),
        key="",
        data=DataUsed(name="noise"),
    )
    with tempfile.TemporaryDirectory(prefix="dmt-") as temporary:
        pictures = Path(temporary) / "pictures"
        pictures.mkdir()
        height, width = OF_FOLDER
        for number in range(count):
            Image.effect_noise((width, height), 60).convert("RGB").save(pictures / f"{number:04}.jpg", quality=90)
        job = Job(pictures, Path(temporary) / "out", ("class", "overlay"), tiling, "cpu")
        began = time.process_time()
        predict_folder(Trained("benchmark", (network,), (info,), ()), job, Console(quiet=True))
        return time.process_time() - began


@torch.inference_mode()
def _bare(network: nn.Module, tiling: Tiling, sizes: Sequence[tuple[int, int]]) -> tuple[int, float]:
    """Number of tiles of pictures of these sizes, and seconds of CPU of the network alone on as many."""
    high, wide = tiling.tile
    together = tiles_together(high, wide)
    pixels = np.random.default_rng(0).standard_normal((together, 3, high, wide), np.float32)
    batch = torch.from_numpy(pixels).to(memory_format=torch.channels_last)
    rows = [
        min(together, len(across) - first)
        for height, width in sizes
        for down, across in [(cut(height, high, tiling.overlap)[0], cut(width, wide, tiling.overlap)[0])]
        for _ in down
        for first in range(0, len(across), together)
    ]
    began = time.process_time()
    for count in rows:
        network(batch[:count])
    return sum(rows), time.process_time() - began


if __name__ == "__main__":
    raise SystemExit(main())
