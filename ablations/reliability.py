"""Which labels should come first, and how much should they count? Tables 3 and 5 of RWMS, on any recipe.

Rows: the supervised baseline; classical self-training (one teacher labels everything once); retraining in one phase
with weights by both teachers; in two phases with a random half of the images first; with the reliable half first
(RWMS); and RWMS without the weights. Models A and B are the two teachers: where the recipe has one network, they differ
only by their seeds, and --set model_b.architecture=PSPNet or the like makes them differ more.

The table prints what each row trains: RWMS two teachers and two students. The figure `reliability`
(`dmt figures reliability`) shows how much the teachers agree on the images of each phase (RWMS, Fig. 4).

Killed? Run it again: finished work is not computed twice. Additional seeds extend the same table.

examples:
  dmt ablate reliability --dry-run
  dmt ablate reliability --recipe camvid --data camvid/ --seeds 0 1 2
  dmt ablate reliability --recipe rwms-voc-1/8 --data voc/ --set model.encoder_weights=imagenet
"""

import sys

from dmt_ray.cli.ablate import Question, main
from dmt_ray.config import Config
from dmt_ray.experiments.ablation import Column, Row
from dmt_ray.recipes import RECIPES

FAMILY = "rwms-voc-"
ROWS = {
    "Baseline": Row("baseline"),
    "Self-training": Row("classical_st"),
    "One-phase retraining": Row("rwms", {"phases": "one"}),
    "Random multi-phase retraining": Row("rwms", {"phases": "random"}),
    "W/o reweighting": Row("rwms", {"weight.b": 0}),
    "RWMS": Row("rwms"),
}


def columns(config: Config) -> dict[str, Column]:
    """The paper's labelled ratios, fewest labels first, or the recipe itself."""
    if not config.recipe.startswith(FAMILY):
        return {config.recipe: Column()}
    ratios = [name.removeprefix(FAMILY) for name in RECIPES if name.startswith(FAMILY)]
    return {ratio: Column(recipe=f"{FAMILY}{ratio}", paper=ratio) for ratio in ratios}


QUESTION = Question(
    __doc__,
    "reliability",
    "Which labels should come first, and how much should they count?",
    ROWS,
    columns=columns,
    paper="rwms-3 rwms-5",
)

if __name__ == "__main__":
    sys.exit(main(QUESTION))
