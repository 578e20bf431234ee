"""What does each iteration bring? Figure 11 of DMT: CBST, DST and DMT from iteration 0 to the last.

Every method is scored after every iteration, so that a single run of each gives its whole curve; the table shows the
last iteration, and `dmt figures iterations` draws the curves. Training on the labelled images alone (iteration 0) is
the row Baseline.

Killed? Run it again: finished work is not computed twice. Additional seeds extend the same table.

examples:
  dmt ablate iterations --dry-run
  dmt ablate iterations --recipe voc-1/20 --data voc/ --seeds 0 1 2
  dmt ablate iterations --set percentiles=[0.2,0.4,0.6,0.8,1.0,1.0,1.0]     two further iterations
"""

import sys

from dmt_ray.cli.ablate import Question, main
from dmt_ray.experiments.ablation import Row

ROWS = {
    "Baseline": Row("baseline"),
    "CBST": Row("cbst"),
    "DST": Row("dst"),
    "DMT": Row("dmt"),
}

QUESTION = Question(__doc__, "iterations", "What does each iteration bring?", ROWS)

if __name__ == "__main__":
    sys.exit(main(QUESTION))
