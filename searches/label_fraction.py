"""What does each method gain, and with how many labels? Seven shares of labelled images x four methods.

The shares are those of the Pet study (000, Sec. 3): 1, 2, 5, 10, 50, 80, 95 %. Pretraining is as long as the paper
says, sqrt(1 / share) x N epochs with N those of the oracle (DMT, Sec. 5.2.2): set oracle.epochs, not pretrain.epochs.
An epoch of an iteration is a pass over the unlabelled images, so that with 95 % of the labels there is little to do.

The methods: the supervised baseline; Online ST, which makes its labels as it goes; CBST, one model that teaches itself;
DMT. This is a curve and no search: all 28 points are performed, and none is pruned. With --sampler random --trials N
only some of them are.

What is shared: a share's pretrained model A by baseline, Online ST and CBST, and by DMT where it is without DMS
(alpha 1). Splits are nested: of one seed, fewer labelled images are the first of more.

Killed? Start it again. What was finished is in the storage folder and is not computed twice.

examples:
  python searches/label_fraction.py                                      28 points on the embedded data
  python searches/label_fraction.py --dry-run                            what it would do, and what that costs
  python searches/label_fraction.py --seeds 0 1 2 3 4                    five labelled splits each, paired
  python searches/label_fraction.py --recipe camvid --data camvid/ --set oracle.epochs=10
"""

import sys

from dmt_ray.cli.sweep import search
from dmt_ray.experiments.dimensions import LABEL_FRACTION, METHOD
from dmt_ray.methods.space import Choice

SPACE = {
    LABEL_FRACTION: Choice(0.01, 0.02, 0.05, 0.1, 0.5, 0.8, 0.95),
    METHOD: Choice("baseline", "online_st", "cbst", "dmt"),
}


def main() -> int:
    """Run the search; returns the exit status."""
    return search(
        __doc__ or "",
        question="label_fraction",
        title="What does each method gain with how many labelled images?",
        space=SPACE,
        sampler="grid",
    )


if __name__ == "__main__":
    sys.exit(main())
