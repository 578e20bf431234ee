"""How fast should pseudo labels be admitted? A search over the schedule of percentiles (DMT, Sec. 4.2.2).

In each iteration the most confident fraction of the pixels is labelled. The paper takes 20, 40, 60, 80, 100 %. Here a
schedule is its start, its end, the number of iterations, and its curvature: share i of n is
start + (end - start) * (i / (n - 1)) ** curvature, in steps of 5 %. Above 1 it stays long with the most confident
labels, below 1 it takes in the others early; a single iteration takes the share `end` at once.

What is shared: schedules that begin alike have their first iterations in common, and all have the pretraining. Each
iteration is computed once, by the first trial that needs it; --dry-run says how much that saves. Compare scores with
the number of iterations in mind: more of them are also more training (--second compute searches for both).

For pruning, a schedule is compared only with those that have as many iterations, and only between two iterations.

Killed? Run it again: finished work is in the storage folder and is not computed twice.

examples:
  dmt sweep schedule_sweep                                      12 schedules on the built-in toy data set
  dmt sweep schedule_sweep --dry-run                            what they need one by one, and together
  dmt sweep schedule_sweep --trials 40 --sampler gp             28 more, proposed by a Gaussian process
  dmt sweep schedule_sweep --recipe camvid --data camvid/ --seeds 0 1 2 --confirm 100 101 102
"""

import sys

from dmt_ray.cli.sweep import Question, main
from dmt_ray.config.derived import CURVATURE, END, ITERATIONS, START
from dmt_ray.methods.space import Integer, Space, Uniform

SPACE: Space = {
    START: Uniform(0.1, 0.5, step=0.1),
    END: Uniform(0.5, 1, step=0.1),
    ITERATIONS: Integer(1, 9),
    CURVATURE: Uniform(0.5, 2, step=0.5),
}

# Start, end, iterations, curvature. Twelve schedules that answer questions in pairs and share what they begin with.
SCHEDULES = [
    (0.2, 1.0, 5, 1.0),  # the paper's: 20, 40, 60, 80, 100 %
    (0.2, 0.8, 4, 1.0),  # without the least sure fifth of the labels
    (0.2, 0.6, 3, 1.0),  # without the least sure two fifths
    (0.2, 1.0, 9, 1.0),  # half the pace
    (0.2, 0.6, 5, 1.0),  # half the pace, half the way
    (0.2, 1.0, 5, 2.0),  # late: 20, 25, 40, 65, 100 %
    (0.2, 1.0, 5, 0.5),  # early: 20, 60, 75, 90, 100 %
    (0.2, 1.0, 3, 1.0),  # twice the pace: 20, 60, 100 %
    (0.2, 1.0, 2, 1.0),  # 20 %, then all
    (0.4, 1.0, 4, 1.0),  # the paper's without its first iteration
    (0.4, 0.8, 3, 1.0),  # and without its last
    (0.5, 1.0, 1, 1.0),  # all at once
]
KNOWN = [dict(zip(SPACE, schedule, strict=True)) for schedule in SCHEDULES]

QUESTION = Question(
    __doc__, "schedule_sweep", "Which schedule of percentiles admits pseudo labels best?", SPACE, known=KNOWN
)

if __name__ == "__main__":
    sys.exit(main(QUESTION))
