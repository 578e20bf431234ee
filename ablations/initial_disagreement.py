"""What should make the two models differ at the start? Seeds, images (DMS) or architecture (DMT, Sec. 4.1.2).

Rows: DST, a single model that teaches itself, is the control. In all other rows two models teach each other. They
differ by seed (the same labelled images in another order, from other random weights); by images (Difference Maximized
Sampling with the share alpha: at 80 %, a quarter of the images that a model sees are its own, at 60 % two thirds); or
by architecture (model B has another decoder). The paper prefers yet another way, different initial weights: pass them
with --set model_b.weights_file=FILE.

Killed? Run it again: finished work is not computed twice. Additional seeds extend the same table.

examples:
  dmt ablate initial_disagreement --dry-run
  dmt ablate initial_disagreement --recipe camvid --data camvid/ --seeds 0 1 2
"""

import sys

from dmt_ray.cli.ablate import Question, main
from dmt_ray.experiments.ablation import Row

ROWS = {
    "DST": Row("dst"),
    "DMT, seeds": Row("dmt", {"dms_alpha": 1.0}),
    "DMT, DMS 80 %": Row("dmt", {"dms_alpha": 0.8}),
    "DMT, DMS 60 %": Row("dmt", {"dms_alpha": 0.6}),
    "DMT, architecture": Row("dmt", {"dms_alpha": 1.0, "model_b.architecture": "FPN", "model_b.arguments": {}}),
}

QUESTION = Question(
    __doc__, "initial_disagreement", "What should make the two models differ at the start?", ROWS, reference="DST"
)

if __name__ == "__main__":
    sys.exit(main(QUESTION))
