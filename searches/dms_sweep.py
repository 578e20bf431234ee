"""How different should the labelled images of the two models be? A search over alpha of DMS (DMT, Sec. 4.1.2).

Before they teach each other, model A is pretrained on the first share alpha of the labelled images, model B on the
last. The closer alpha is to 0.5, the less they have in common and the more they disagree; but each has seen fewer
labels, in fewer steps, as an epoch is a pass over what a model sees. At 1 both see all, and differ only by their
seeds. The paper uses 0.8 on its small splits, the Pet study 0.7.

Beside the score the table shows how far A and B disagree: the share of pseudo-labelled pixels whose label the student
would not give as it trains, in the first and in the last iteration. DMS exists to cause disagreement; whether more
of it goes with a better score is the question.

What is shared: nothing between two alphas, as both pretrainings depend on it; all of it with other sweeps and runs that
have the same alpha. Two points of the same seed have the same labelled images, divided differently.

Killed? Run it again: finished work is in the storage folder and is not computed twice.

examples:
  dmt sweep dms_sweep                                           12 trials on the built-in toy data set
  dmt sweep dms_sweep --dry-run                                 what it would compute, and at what cost
  dmt sweep dms_sweep --grid 10 --seeds 0 1 2                   0.55, 0.6, ... 1: a curve, never pruned
  dmt sweep dms_sweep --recipe camvid --data camvid/ --seeds 0 1 2 --confirm 100 101 102
"""

import sys

from dmt_ray.cli.sweep import Question, main
from dmt_ray.methods.space import Uniform

# At 0.5 the halves would have no image in common, which DMS excludes.
SPACE = {"dms_alpha": Uniform(0.55, 1, step=0.05)}

# All images for both; the paper's on small splits; the Pet study's; nearly disjoint halves.
KNOWN = [{"dms_alpha": 1.0}, {"dms_alpha": 0.8}, {"dms_alpha": 0.7}, {"dms_alpha": 0.55}]

QUESTION = Question(
    __doc__,
    "dms_sweep",
    "Which share alpha of the labelled images should each of the two models see?",
    SPACE,
    known=KNOWN,
    extra_metrics=["disagreement"],
)

if __name__ == "__main__":
    sys.exit(main(QUESTION))
