"""What is each part of DMT worth? The ablation of the paper's Table 9, on any recipe.

Rows: the supervised baseline; Online ST (its own confident predictions at every step); CBST (iterative self-training in
which every pseudo label counts the same); DST (one model, the dynamic loss); DMT-Naive (two models, weighted by
confidence alone); DMT; DMT-Flip (relabels what the student is more confident about). Beside the paper's rows stand the
oracle, which sees all true labels, and a control: DST with the steps of two models, because DMT trains two and CBST,
DST and Online ST train one.

What is shared: all rows of a seed have the same labelled images, and start from the same pretrained model A. A stage
that several rows need is computed once. Nothing is pruned: a table needs all of its cells.

Killed? Run it again: finished work is not computed twice. Additional seeds extend the same table.

examples:
  dmt ablate components                                 Table 9 on the toy data set, five seeds
  dmt ablate components --dry-run                       what it would compute, and at what cost
  dmt ablate components --recipe camvid --data camvid/ --seeds 0 1 2
  dmt ablate components --recipe voc-1/20 --data voc/ --seeds 0 1 2 --address auto --workers 8
  dmt ablate components --rows CBST DST DMT             these and the reference
  dmt ablate components --until-decided                 3, 5, 8 or 12 seeds, as many as a row needs
"""

import sys

from dmt_ray.cli.ablate import Question, main
from dmt_ray.config import Config
from dmt_ray.experiments.ablation import Column, Row

ROWS = {
    "Baseline": Row("baseline"),
    "Online ST": Row("online_st"),
    "CBST": Row("cbst"),
    "DST": Row("dst"),
    "DST, twice the steps": Row("dst_double"),
    "DMT-Naive": Row("dmt_naive"),
    "DMT": Row("dmt"),
    "DMT-Flip": Row("dmt_flip"),
    "Oracle": Row("oracle"),
}


def columns(config: Config) -> dict[str, Column]:
    """The recipe itself, which on PASCAL VOC may be a column of the paper's table."""
    ratio = config.recipe.removeprefix("voc-")
    return {config.recipe: Column(paper=ratio if ratio in ("1/20", "1/50") else None)}


QUESTION = Question(__doc__, "components", "What is each part of DMT worth?", ROWS, columns=columns, paper="dmt-9")

if __name__ == "__main__":
    sys.exit(main(QUESTION))
