"""Do two different networks teach each other better? Table 5 of RML, on any recipe: a CNN and a transformer.

Rows: each network alone on the labelled images; two of the same kind, and one of each, in indirect mutual learning
without noise. The CNN is the recipe's; the transformer is SETR, with a small Vision Transformer where the recipe's
crops are small. Under `last` the table shows the mean over both models; the other two rules select one of them. The
paper prints both.

Killed? Run it again: finished work is not computed twice. Additional seeds extend the same table.

examples:
  dmt ablate architectures --dry-run
  dmt ablate architectures --recipe camvid --data camvid/ --seeds 0 1 2
"""

import sys
from typing import Any

from dmt_ray.cli.ablate import Question, main
from dmt_ray.config import Config
from dmt_ray.experiments.ablation import Row

LARGE = 256  # pixels: side of a crop from which on the transformer is as large as the paper's CNN
NO_NOISE = {"consistency.noise": "none"}


def transformer(config: Config) -> dict[str, Any]:
    """A SETR that suits the recipe's crops, from scratch."""
    crop = config.pretrain.augment.crop
    made: dict[str, Any] = {"architecture": "SETR", "encoder": "vit_base_patch16_224", "arguments": {"img_size": crop}}
    if max(crop) < LARGE:
        small = {"patch_size": 8, "embed_dim": 96, "depth": 4, "num_heads": 4, "channels": 48}
        made = {"architecture": "SETR", "encoder": "vit_tiny_patch16_224", "arguments": {"img_size": crop, **small}}
    return made | {"encoder_weights": None, "weights_file": None, "weights_digest": ""}


def rows(config: Config) -> dict[str, Row]:
    """The recipe's network beside a transformer."""
    other = {f"model.{name}": value for name, value in transformer(config).items()}
    return {
        "CNN": Row("baseline"),
        "Transformer": Row("baseline", other),
        "CNN - CNN": Row("iml", NO_NOISE),
        "Transformer - transformer": Row("iml", {**NO_NOISE, **other}),
        "CNN - transformer": Row("iml", {**NO_NOISE, "model_b": transformer(config)}),
    }


QUESTION = Question(
    __doc__, "architectures", "Do two different networks teach each other better?", rows, reference="CNN", paper="rml-5"
)

if __name__ == "__main__":
    sys.exit(main(QUESTION))
