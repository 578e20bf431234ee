"""The table of the Oxford-IIIT Pet study (Baekkelund, Table 1), on any recipe: DMT with alternating roles.

Rows: the supervised baseline; Pseudo-Label (Lee 2013: one model, whose own labels get a rising weight); DMT in the
study's sequential order, where the second model learns from the first, and the first then from the second; the oracle.
The model that is better on the validation images teaches first: decided once after pretraining, as in the study, or
again before every iteration, as the study proposes.

Killed? Run it again: finished work is not computed twice. Additional seeds extend the same table.

examples:
  dmt ablate pets --dry-run
  dmt ablate pets --recipe camvid --data camvid/ --seeds 0 1 2
  dmt ablate pets --recipe pets --data pets/ --seeds 0 1 2 --address auto    Table 1
"""

import sys

from dmt_ray.cli.ablate import Question, main
from dmt_ray.config import Config
from dmt_ray.experiments.ablation import Column, Row

STUDY = {"order": "sequential", "dms_alpha": 0.7}
ROWS = {
    "Baseline": Row("baseline"),
    "Pseudo-Label": Row("pseudo_label"),
    "DMT": Row("dmt", {**STUDY, "first": "val"}),
    "DMT, decided anew": Row("dmt", {**STUDY, "first": "val_each"}),
    "Oracle": Row("oracle"),
}


def columns(config: Config) -> dict[str, Column]:
    """The recipe itself, which may be the study's."""
    return {config.recipe: Column(paper="10 %" if config.recipe == "pets" else None)}


QUESTION = Question(
    __doc__, "pets", "Does DMT help where teacher and student take turns?", ROWS, columns=columns, paper="pets-1"
)

if __name__ == "__main__":
    sys.exit(main(QUESTION))
