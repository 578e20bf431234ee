"""How much do pseudo labels help where fewer images are labelled? Tables 4, 5, 7 and 8 of DMT, on any recipe.

Columns are labelled ratios: on PASCAL VOC and Cityscapes those of the paper, each with the recipe's own settings; on
other data the recipe's own number of labelled images, half of it, twice and four times as many. The fewer labelled
images, the more pretraining epochs, in proportion to sqrt(1 / ratio) (DMT, Sec. 5.2.2). The oracle sees all
labels, whatever the column, and is computed once. Tables 5 and 8 are the gaps to it: the differences to the row Oracle.

Killed? Run it again: finished work is not computed twice. Additional seeds extend the same table.

examples:
  dmt ablate labelled_ratio --dry-run                                    the toy data set, five seeds
  dmt ablate labelled_ratio --recipe voc-1/20 --data voc/ --seeds 0 1 2  all four ratios of Table 4
  dmt ablate labelled_ratio --recipe camvid --data camvid/ --rows DMT Oracle
"""

import sys
from math import sqrt

from dmt_ray.cli.ablate import Question, main
from dmt_ray.config import Config
from dmt_ray.experiments.ablation import Column, Row
from dmt_ray.recipes import RECIPES

FACTORS = (0.5, 1, 2, 4)  # of the recipe's labelled images
FAMILIES = ("voc-1/", "cityscapes-1/")


def rows(config: Config) -> dict[str, Row]:
    """The oracle has the same split in all columns, so that it is the same work."""
    return {
        "Baseline": Row("baseline"),
        "CBST": Row("cbst"),
        "DMT": Row("dmt"),
        "Oracle": Row("oracle", {"split.labelled": config.split.labelled}),
    }


def columns(config: Config) -> dict[str, Column]:
    """The labelled ratios of a recipe, fewest labels first."""
    for family in FAMILIES:
        if config.recipe.startswith(family):
            names = [name for name in RECIPES if name.startswith(family)]
            return {name.partition("-")[2]: Column(recipe=name, paper=name.partition("-")[2]) for name in names}
    found = {}
    for factor in FACTORS:
        labelled = config.split.labelled * factor
        if isinstance(config.split.labelled, int):
            labelled = round(labelled)
        name = f"{labelled} labelled" if isinstance(labelled, int) else f"1/{1 / labelled:.4g}"
        epochs = max(1, round(config.pretrain.epochs / sqrt(factor)))
        found[name] = Column({"split.labelled": labelled, "pretrain.epochs": epochs})
    return found


QUESTION = Question(
    __doc__,
    "labelled_ratio",
    "How much do pseudo labels help where fewer images are labelled?",
    rows,
    columns=columns,
    paper={"voc": "dmt-4", "cityscapes": "dmt-7"},
)

if __name__ == "__main__":
    sys.exit(main(QUESTION))
