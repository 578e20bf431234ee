"""After how many epochs should teacher and student change places? N of the Pet study (Sec. 3).

In its Algorithm 1 one model teaches, the other trains for N epochs, and then the roles are reversed: the first now
learns from the model that it has just taught. That is DMT with order=sequential, and N is finetune.epochs
(docs/decisions/0007-reversal-epochs.md). The study tries N = 5, 10, 20, 30, half to three times its default. Where a
recipe's iterations are shorter than 5 epochs, its own length takes the place of 5, and N is 1, 2, 4, 6 times that.

A larger N is also more training, as the number of iterations stays: the table prints the steps. --set first=B lets the
other model teach first, --set order=simultaneous gives the same lengths in DMT's own order.

What is shared: both pretrained models, their scores and the first teacher's labels, once for all N.

Killed? Run it again: finished work is not computed twice. Additional seeds extend the same table.

examples:
  dmt ablate reversal --dry-run
  dmt ablate reversal --recipe folder --data pets/ --seeds 0 1 2
"""

import sys

from dmt_ray.cli.ablate import Question, main
from dmt_ray.config import Config
from dmt_ray.experiments.ablation import Row

PETS = (5, 10, 20, 30)


def rows(config: Config) -> dict[str, Row]:
    """The baseline, and N as in the study or as many times the recipe's own."""
    shortest = min(PETS[0], config.finetune.epochs)
    lengths = [epochs * shortest // PETS[0] for epochs in PETS]
    return {"Baseline": Row("baseline")} | {f"N = {n}": Row("dmt", {"finetune.epochs": n}) for n in lengths}


QUESTION = Question(
    __doc__,
    "reversal",
    "After how many epochs should teacher and student change places?",
    rows,
    fixed=["order=sequential"],
)

if __name__ == "__main__":
    sys.exit(main(QUESTION))
