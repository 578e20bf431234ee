"""Which weights should pseudo labels have? A search over the two exponents of DMT (Eq. 3).

gamma1 applies where student and teacher agree, gamma2 where the teacher overrules the student: the larger it is, the
less a pseudo label counts that the student finds unlikely. The paper sets both to 5 on PASCAL VOC and to 3 on
Cityscapes (Table 1) and does not search. Here Optuna does, by the mIoU on the validation images, never on the test
images.

What is shared: pretraining does not depend on gamma, so both models, their scores and the labels of the first
iteration are computed once for all trials. Every trial is scored on the same seeds, hence on the same labelled images
and the same order of images. A trial may be pruned between two iterations, never within one.

Killed? Run it again, whether it was a reboot, a full disk or Ctrl-C. Finished work is in the storage folder and is not
computed twice; interrupted trials continue under their numbers, and failed trials are tried once more. --trials counts
the trials of earlier starts: a larger number continues the same search.

examples:
  dmt sweep gamma_sweep                                         12 trials on the built-in toy data set
  dmt sweep gamma_sweep --dry-run                               what it would compute, and at what cost
  dmt sweep gamma_sweep --recipe camvid --data camvid/ --seeds 0 1 2 --trials 30
  dmt sweep gamma_sweep --grid 5 --address auto                 25 points, no pruning, on a running cluster
  dmt sweep gamma_sweep --sampler gp --confirm 100 101 102      then the best and the recipe on fresh seeds
  dmt sweep gamma_sweep --trials 200 --hours 8 --seeds 0 1 2 --stop-when-flat 15
  dmt sweep gamma_sweep --set percentiles=[0.5,1.0] --set finetune.epochs=3
"""

import sys

from dmt_ray.cli.sweep import Question, main
from dmt_ray.experiments.sweep import Uniform

# From "every label counts" to "only what the student is sure of": at 8 a probability of 0.75 weighs 0.1.
SPACE = {
    "weight.gamma1": Uniform(0, 8, step=0.25),
    "weight.gamma2": Uniform(0, 8, step=0.25),
}

# The paper's exponents for PASCAL VOC and Cityscapes.
PAPER = [
    {"weight.gamma1": 5, "weight.gamma2": 5},
    {"weight.gamma1": 3, "weight.gamma2": 3},
]

QUESTION = Question(
    __doc__, "gamma_sweep", "Which exponents gamma1 and gamma2 weight pseudo labels best?", SPACE, known=PAPER
)

if __name__ == "__main__":
    sys.exit(main(QUESTION))
