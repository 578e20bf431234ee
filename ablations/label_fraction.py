"""What does each method gain, and with how many labels? Seven shares of labelled images x four methods.

The shares are those of the Pet study (Sec. 3): 1, 2, 5, 10, 50, 80, 95 %. Pretraining is as long as the paper
says, sqrt(1 / share) x N epochs with N those of the oracle (DMT, Sec. 5.2.2): set oracle.epochs, not pretrain.epochs.
An epoch of an iteration is a pass over the unlabelled images, so with 95 % of the labels there is little to do.

The methods: the supervised baseline; Online ST, which makes its labels as it goes; CBST, one model that teaches itself;
DMT. `labelled_ratio` asks the same for the ratios in DMT's tables, and includes the oracle.

What is shared: at each share, baseline, Online ST and CBST use the same pretrained model A, and so does DMT where it
runs without DMS (alpha 1). Splits are nested: for one seed, a smaller set of labelled images is part of a larger one.

Killed? Run it again: finished work is not computed twice. Additional seeds extend the same table.

examples:
  dmt ablate label_fraction --dry-run                          28 points on the built-in toy data set
  dmt ablate label_fraction --seeds 0 1 2 3 4                  five labelled splits each, paired
  dmt ablate label_fraction --recipe camvid --data camvid/ --set oracle.epochs=10
"""

import sys

from dmt_ray.cli.ablate import Question, main
from dmt_ray.config import Config
from dmt_ray.experiments.ablation import Column, Row
from dmt_ray.experiments.dimensions import pretrain_epochs

SHARES = (0.01, 0.02, 0.05, 0.1, 0.5, 0.8, 0.95)
ROWS = {"Baseline": Row("baseline"), "Online ST": Row("online_st"), "CBST": Row("cbst"), "DMT": Row("dmt")}


def columns(config: Config) -> dict[str, Column]:
    """The shares, with the epochs of pretraining that belong to them."""
    return {
        f"{share:.0%}": Column(
            {"split.labelled": share, "pretrain.epochs": pretrain_epochs(share, config.oracle.epochs)}
        )
        for share in SHARES
    }


QUESTION = Question(
    __doc__, "label_fraction", "What does each method gain with how many labelled images?", ROWS, columns=columns
)

if __name__ == "__main__":
    sys.exit(main(QUESTION))
