"""What should make the two models differ at the start? Seeds, images (DMS) or architecture (DMT, Sec. 4.1.2).

Rows: DST, a model that teaches itself, has no other to differ from. In the others two models teach each other: they
have seen the same labelled images in another order, from other random weights (seeds); or less of the labelled images
in common (Difference Maximized Sampling with the share alpha: of 80 % each, a quarter is a model's own, of 60 % two
thirds); or model B has another decoder. Other weights to start from are a further way, which the paper prefers:
give yours with --set model_b.weights_file=FILE.

Killed? Start it again: what was finished is not computed twice. Further seeds extend the same table.

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
