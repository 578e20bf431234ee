"""What is each part of Robust Mutual Learning worth? Table 4 of RML, on any recipe, and the four ways of its Figure 4.

Rows: the supervised baseline; indirect mutual learning (IML: two students, each taught by both mean teachers) without
noise, with noise in the networks, in the images, in both; the same with labels that are rectified by prototypes (RML);
and a second stage, which begins with the teachers of the first. Beside them stand Mean Teacher, one student and its own
teacher, and direct mutual learning, in which the students label for each other.

A row of two stages has twice the steps after pretraining, and Mean Teacher trains only one student: the table prints
the steps. The figure `coupling` (`dmt figures robust_mutual`) shows how far apart the teachers are, and how accurate
their labels are, as they teach (RML, Figs. 2 and 4).

Killed? Run it again: finished work is not computed twice. Additional seeds extend the same table.

examples:
  dmt ablate robust_mutual --dry-run
  dmt ablate robust_mutual --recipe camvid --data camvid/ --seeds 0 1 2
  dmt ablate robust_mutual --recipe rml-cityscapes-1/8 --data cityscapes/ --set model.encoder_weights=imagenet
"""

import sys

from dmt_ray.cli.ablate import Question, main
from dmt_ray.config import Config
from dmt_ray.experiments.ablation import Column, Row

ROWS = {
    "Baseline": Row("baseline"),
    "Mean teacher": Row("mean_teacher"),
    "Direct mutual learning": Row("direct_mutual"),
    "IML": Row("iml", {"consistency.noise": "none"}),
    "IML (+model noises)": Row("iml", {"consistency.noise": "model"}),
    "IML (+input noises)": Row("iml", {"consistency.noise": "input"}),
    "IML (+full noises)": Row("iml", {"consistency.noise": "both"}),
    "RML": Row("rml", {"consistency.stages": 1}),
    "RML (two stages)": Row("rml", {"consistency.stages": 2}),
}


def columns(config: Config) -> dict[str, Column]:
    """The recipe itself, which may be the paper's."""
    return {config.recipe: Column(paper="1/8" if config.recipe == "rml-cityscapes-1/8" else None)}


QUESTION = Question(
    __doc__, "robust_mutual", "What is each part of Robust Mutual Learning worth?", ROWS, columns=columns, paper="rml-4"
)

if __name__ == "__main__":
    sys.exit(main(QUESTION))
