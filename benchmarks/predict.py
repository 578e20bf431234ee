r"""What predicting a large picture in tiles costs beside the bare network on the same tiles, and its memory.

python benchmarks/predict.py                   # 8,000 x 8,000, Unet on mobilenet_v2, tiles of 256
python benchmarks/predict.py --side 2000
"""

import argparse
import resource
import time

import numpy as np
import torch
from PIL import Image

from dmt_ray import models
from dmt_ray.config import Model
from dmt_ray.engine.tiles import Predictor, Tiling, cut, tiles_together

CLASSES = 21


def main() -> int:
    """Time both and print the ratio and the peak memory of the process."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--side", type=int, default=8000, help="of the picture, in pixels")
    options.add_argument("--tile", type=int, default=256)
    options.add_argument("--encoder", default="mobilenet_v2")
    options.add_argument("--threads", type=int, default=1)
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    network = models.build(Model(architecture="Unet", encoder=chosen.encoder), CLASSES).eval()
    image = Image.effect_noise((chosen.side, chosen.side), 60).convert("RGB")
    predictor = Predictor([network], Tiling((chosen.tile, chosen.tile)), torch.device("cpu"))
    began = time.process_time()
    predictor.predict(image)
    tiled = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # kilobytes on Linux
    begins, _ = cut(chosen.side, chosen.tile, 0.25)
    most = tiles_together(chosen.tile, chosen.tile)
    batches = [min(most, len(begins) - first) for _ in begins for first in range(0, len(begins), most)]
    pixels = np.random.default_rng(0).standard_normal((most, 3, chosen.tile, chosen.tile), np.float32)
    batch = torch.from_numpy(pixels).to(memory_format=torch.channels_last)
    began = time.process_time()
    with torch.inference_mode():
        for count in batches:
            network(batch[:count])
    bare = time.process_time() - began
    print(f"{len(begins) ** 2} tiles: {tiled:.1f} s of CPU, the bare network {bare:.1f} s, ratio {tiled / bare:.3f}")
    print(f"peak memory of the process {peak:.2f} GB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
