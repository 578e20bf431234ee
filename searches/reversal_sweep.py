"""After how many epochs should teacher and student change places? N of the Pet study (000, Sec. 3).

In its Algorithm 1 one model teaches, the other one trains for N epochs, then the roles are reversed: the second learns
from a teacher that it has just taught. That is DMT with order=sequential, and N is finetune.epochs
(docs/decisions/0007-reversal-epochs.md). The study tries N = 5, 10, 20, 30, half to three times its default. Where a
recipe's iterations are shorter than 5 epochs, its own length takes the place of 5, and N is 1, 2, 4, 6 times that.

A larger N is also more training, as the number of iterations stays: mind that when you compare, or set fewer
percentiles. This is a curve and no search: all points are performed, and none is pruned. --set first=B lets the other
model teach first.

What is shared: both pretrained models, their scores and the first teacher's labels, once for all N.

Killed? Start it again. What was finished is in the storage folder and is not computed twice.

examples:
  python searches/reversal_sweep.py                                      4 points on the embedded data
  python searches/reversal_sweep.py --dry-run                            what it would do, and what that costs
  python searches/reversal_sweep.py --recipe folder --data pets/ --seeds 0 1 2
  python searches/reversal_sweep.py --set order=simultaneous             the same lengths in DMT's own order
"""

import sys

from dmt_ray.cli.sweep import search
from dmt_ray.config import Config
from dmt_ray.methods.space import Choice, Space

PETS = (5, 10, 20, 30)


def space(config: Config) -> Space:
    """N as in the study, or as many times the recipe's own."""
    shortest = min(PETS[0], config.finetune.epochs)
    return {"finetune.epochs": Choice(*(epochs * shortest // PETS[0] for epochs in PETS))}


def main() -> int:
    """Run the search; returns the exit status."""
    return search(
        __doc__ or "",
        question="reversal_sweep",
        title="After how many epochs should teacher and student change places?",
        space=space,
        fixed=["order=sequential"],
        sampler="grid",
    )


if __name__ == "__main__":
    sys.exit(main())
