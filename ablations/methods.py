"""Which method is best at equal training? All methods for segmentation, on any recipe, with about as many optimizer steps.

A method that trains two models (DMT and its kin, mutual learning, CPS, RWMS with its two teachers) is run as the recipe has
it. One that trains a single model has twice the pretraining and twice of what follows, so that all rows come to about the
steps of DMT; the baseline has four times the pretraining. Curriculum Labeling starts anew in each of its iterations, each a
quarter of a retraining; classical self-training retrains once, half as long again. RML has one stage. The table prints the
steps of every row. The oracle, which sees all true labels, is as the recipe has it.

What is shared: all rows of a seed have the same labelled images, and rows of the same pretraining the same pretrained model.

Killed? Start it again: what was finished is not computed twice. Further seeds extend the same table.

examples:
  python -m ablations.methods --dry-run                       what it would do, and what that costs
  python -m ablations.methods --seeds 100 101 102             three seeds that nothing was tuned on
  python -m ablations.methods --rows DMT RML FixMatch         these and the reference
  python -m ablations.methods --recipe camvid --data camvid/ --seeds 0 1 2
"""

import sys

from ablations.script import ablate
from dmt_ray.ablation import Row
from dmt_ray.config import Config


def rows(config: Config) -> dict[str, Row]:
    """All methods; those of one model with twice the epochs of everything."""
    epochs = {name: training.epochs for name, training in config.trainings().items()}
    retraining = (config.retrain or config.online).epochs
    twice = {f"{name}.epochs": 2 * count for name, count in epochs.items() if name not in ("oracle", "retrain")}
    longer = {"pretrain.epochs": 2 * epochs["pretrain"]}
    return {
        "Baseline": Row("baseline", {"pretrain.epochs": 4 * epochs["pretrain"]}),
        "Online ST": Row("online_st", twice),
        "Pseudo-Label": Row("pseudo_label", twice),
        "Self-training": Row("classical_st", {**longer, "retrain.epochs": max(1, round(1.5 * retraining))}),
        "Curriculum Labeling": Row("curriculum", {**longer, "retrain.epochs": max(1, round(retraining / 4))}),
        "CBST": Row("cbst", twice),
        "DST": Row("dst", twice),
        "DMT": Row("dmt"),
        "DMT-Naive": Row("dmt_naive"),
        "DMT-Flip": Row("dmt_flip"),
        "DMT, sequential": Row("dmt", {"order": "sequential", "first": "val"}),
        "Mean Teacher, CutMix": Row("mean_teacher", twice),
        "FixMatch": Row("fixmatch", twice),
        "CPS, CutMix": Row("cps"),
        "Direct mutual": Row("direct_mutual"),
        "IML": Row("iml"),
        "RML": Row("rml", {"consistency.stages": 1}),
        "RWMS": Row("rwms"),
        "Oracle": Row("oracle"),
    }


def main() -> int:
    """Run the ablation; returns the exit status."""
    return ablate(
        __doc__ or "", question="methods", title="Which method is best with as many optimizer steps?", rows=rows
    )


if __name__ == "__main__":
    sys.exit(main())
