"""What is best when everything may vary? One search over method, exponents, DMS, schedule and length of an iteration.

The other searches change one thing and hold the rest fixed; this one finds what works best together, and needs many
more trials: 40 by default, the first of them at random, two for each of the nine searched settings. The sampler is TPE
by default; --sampler gp models the score with a Gaussian process, which makes better use of few trials but slows down
with hundreds.

With --second compute there are two objectives: the score, and the optimizer steps of a trial's plan summed over its
models (DMT trains two, DST and CBST one). Nothing is pruned then; at the end you see the Pareto front, the trials that
no other trial beats in both, from the cheapest to the best.

With --method only that method is searched, over the search space that `dmt methods` shows for it.

What is shared: whatever two trials happen to have in common, such as the pretraining where alpha is the same, and with
everything that other sweeps have put into the store. CBST does not read the exponents, nor DST and CBST alpha: points
that differ in what is not read are the same work, and cost nothing.

Killed? Run it again: finished work is in the storage folder and is not computed twice.

examples:
  dmt sweep joint_search                                        40 trials on the built-in toy data set
  dmt sweep joint_search --dry-run                              what it would compute, and at what cost
  dmt sweep joint_search --second compute --sampler gp          the best score for each amount of training
  dmt sweep joint_search --method rml --trials 20               Robust Mutual Learning and its own settings
  dmt sweep joint_search --recipe camvid --data camvid/ --seeds 0 1 2 --trials 100 --confirm 100 101 102
"""

import sys

from dmt_ray.cli.sweep import Question, main
from dmt_ray.config import Config
from dmt_ray.config.derived import CURVATURE, END, ITERATIONS, METHOD, START
from dmt_ray.methods.space import Choice, Integer, Space, Uniform


def space(config: Config) -> Space:
    """What is searched; an iteration is from half to twice as long as the recipe's."""
    epochs = config.finetune.epochs
    return {
        METHOD: Choice("dmt", "dst", "cbst"),
        "weight.gamma1": Uniform(0, 8, step=0.25),
        "weight.gamma2": Uniform(0, 8, step=0.25),
        "dms_alpha": Uniform(0.55, 1, step=0.05),
        START: Uniform(0.1, 0.5, step=0.1),
        END: Uniform(0.5, 1, step=0.1),
        ITERATIONS: Integer(1, 9),
        CURVATURE: Uniform(0.5, 2, step=0.5),
        "finetune.epochs": Integer(max(1, epochs // 2), 2 * epochs),
    }


QUESTION = Question(
    __doc__,
    "joint_search",
    "Which method, exponents, DMS and schedule are best together?",
    space,
    trials=40,
    by_method=True,
)

if __name__ == "__main__":
    sys.exit(main(QUESTION))
