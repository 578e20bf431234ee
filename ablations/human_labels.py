"""Are pseudo labels as good as coarse human labels? Table 6 of DMT, on any recipe.

On PASCAL VOC the 1,464 images of VOC itself are finely labelled, and the 9,118 of SBD coarsely. Rows: the fine labels
alone; fine and coarse labels together; DMT, which ignores the labels of the coarsely labelled images. On other data the
split's labelled images keep their fine labels, and the labels of the rest are made coarse: every block of 8 x 8 pixels
gets its most common class. Then a last row has fine labels everywhere.

Killed? Run it again: finished work is not computed twice. Additional seeds extend the same table.

examples:
  dmt ablate human_labels --dry-run
  dmt ablate human_labels --recipe voc-1464 --data voc/ --seeds 0 1 2
  dmt ablate human_labels --recipe camvid --data camvid/ --seeds 0 1 2
"""

import sys

from dmt_ray.cli.ablate import Question, main
from dmt_ray.config import Config
from dmt_ray.experiments.ablation import Column, Row

BLOCK = 8  # pixels


def rows(config: Config) -> dict[str, Row]:
    """Where the data's own labels are not coarse, they are made so."""
    found = {"Baseline": Row("baseline"), "DMT": Row("dmt")}
    if config.data.name == "voc":
        return found | {"Oracle": Row("oracle")}
    return found | {"Coarse labels": Row("oracle", {"coarse": BLOCK}), "Oracle": Row("oracle")}


def columns(config: Config) -> dict[str, Column]:
    """The recipe itself, which may be the paper's."""
    return {config.recipe: Column(paper="1464/9118" if config.recipe == "voc-1464" else None)}


QUESTION = Question(
    __doc__,
    "human_labels",
    "Are pseudo labels as good as coarse human labels?",
    rows,
    columns=columns,
    paper="dmt-6",
)

if __name__ == "__main__":
    sys.exit(main(QUESTION))
