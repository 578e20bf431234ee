r"""What predicting in tiles costs beside the bare network on the same tiles: a large picture, or a folder of pictures.

python benchmarks/predict.py                         # 8,000 x 8,000, Unet on mobilenet_v2, tiles of 256
python benchmarks/predict.py --side 2000
python benchmarks/predict.py --folder 500            # pictures of 360 x 480, with reading and writing of all files
python benchmarks/predict.py --encoder small         # the network of the recipe shapes, 0.4 M parameters
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from torch import Tensor, nn

from dmt_ray import models
from dmt_ray.api.predicting import Job, predict_folder
from dmt_ray.api.trained import Trained
from dmt_ray.config import Model
from dmt_ray.data.files import colours
from dmt_ray.deploy.model_info import DataUsed, ModelInfo
from dmt_ray.engine.tiles import Predictor, Tiling
from dmt_ray.recipes.segmentation import SMALL

CLASSES = 21
OF_FOLDER = (360, 480)  # the size of CamVid's images


class BesideBare(nn.Module):
    """A network that after each of its forward passes is run once more on noise of the same shape, and timed.

    So both are measured in the same minutes, on a machine that may be busy.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.padding = network, models.padding_of(network)
        self.tiles, self.seconds = 0, 0.0  # of the bare network, CPU
        self._noise: dict[tuple[int, ...], Tensor] = {}

    def forward(self, tiles: Tensor) -> Tensor:
        """The network's logits of some tiles."""
        logits: Tensor = self.network(tiles)
        if tuple(tiles.shape) not in self._noise:
            self._noise[tuple(tiles.shape)] = torch.randn(tiles.shape).to(memory_format=torch.channels_last)
        noise = self._noise[tuple(tiles.shape)]
        began = time.process_time()
        self.network(noise)
        self.seconds += time.process_time() - began
        self.tiles += len(tiles)
        return logits


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
    model = SMALL if chosen.encoder == "small" else Model(architecture="Unet", encoder=chosen.encoder)
    network = BesideBare(models.build(model, CLASSES)).eval()
    tiling, count = Tiling((chosen.tile, chosen.tile)), chosen.folder or 1
    whole = _folder(network, model, tiling, count) if chosen.folder else _picture(network, tiling, chosen.side)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9  # Linux counts in 1024 bytes
    tiled, bare = whole - network.seconds, network.seconds
    print(f"{network.tiles} tiles: {tiled:.1f} s of CPU, the bare network {bare:.1f} s, ratio {tiled / bare:.3f}")
    print(f"{tiled / count:.3f} s a picture; peak memory of the process {peak:.2f} GB")
    return 0


def _picture(network: nn.Module, tiling: Tiling, side: int) -> float:
    """Seconds of CPU to predict a large picture."""
    image = np.asarray(Image.effect_noise((side, side), 60).convert("RGB"))
    predictor = Predictor([network], tiling, torch.device("cpu"))
    began = time.process_time()
    predictor.predict(image)
    return time.process_time() - began


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


if __name__ == "__main__":
    raise SystemExit(main())
