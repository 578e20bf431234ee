"""How different should the second teacher be? Table 4 of RWMS, on any recipe.

Rows: RWMS with other networks as its second teacher, which judges what the first one labels. On the paper's recipe they
are the paper's; on others they are the first teacher's own network with another seed, and two other decoders. The block
"agreement" is the paper's column Difference: the mIoU between both teachers' labels of an image, averaged over the
images; the lower it is, the more they differ.

What is shared: the first teacher, its labels and its score are the same in all rows.

Killed? Run it again: finished work is not computed twice. Additional seeds extend the same table.

examples:
  dmt ablate teachers --dry-run
  dmt ablate teachers --recipe camvid --data camvid/ --seeds 0 1 2
  dmt ablate teachers --recipe rwms-voc-1/8 --data voc/ --set model.encoder_weights=imagenet
"""

import sys

from dmt_ray.cli.ablate import Question, main
from dmt_ray.config import Config
from dmt_ray.experiments.ablation import Column, Row

PAPER = "rwms-voc-1/8"


def rows(config: Config) -> dict[str, Row]:
    """The networks of the paper, or others than the recipe's."""
    if config.recipe == PAPER:
        others = {
            "PSPNet with ResNet50": {"architecture": "PSPNet", "encoder": "resnet50"},
            "DeepLabv2 with ResNet101": {"architecture": "DeepLabV2", "encoder": "resnet101"},
            "DeepLabv3+ with ResNet101": {"architecture": "DeepLabV3Plus", "encoder": "resnet101"},
        }
    else:
        encoder = config.model.encoder
        others = {name: {"architecture": name, "encoder": encoder} for name in ("FPN", "Linknet")}
    # They start from weights of the same kind as the first teacher.
    weights = {"encoder_weights": config.model.encoder_weights}
    alike = {} if config.recipe == PAPER else {"Another seed": Row("rwms", {"model_b": None})}
    unlike = {name: Row("rwms", {"model_b": {**network, **weights}}) for name, network in others.items()}
    return {"Baseline": Row("baseline"), **alike, **unlike}


def columns(config: Config) -> dict[str, Column]:
    """The recipe itself, which may be the paper's."""
    return {config.recipe: Column(paper="MIoU" if config.recipe == PAPER else None)}


QUESTION = Question(
    __doc__, "teachers", "How different should the second teacher be?", rows, columns=columns, paper="rwms-4"
)

if __name__ == "__main__":
    sys.exit(main(QUESTION))
