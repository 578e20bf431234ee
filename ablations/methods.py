"""All methods for segmentation at equal steps: same labelled images, same total optimizer steps, same evaluator.

DMT sets the budget: two models, each pretrained as the recipe says, and the recipe's iterations of fine-tuning for
each. All other rows get the same number of steps, whatever the recipe's own trainings are:

  Baseline, Oracle            one model, all of the steps on (all) true labels
  Online ST, Pseudo-Label     one model: twice the pretraining, then twice as many steps on its own labels
  CBST, DST                   one model: twice the pretraining, and twice the steps in each iteration
  Self-training, CL           one teacher with twice the pretraining; the other half for new students
  Mean Teacher, FixMatch,     one student: twice the pretraining, then twice the steps
  UniMatch and its V2
  DMT and its variants        two models, as the recipe says; in `DMT, sequential` they take turns
  CPS, direct, IML, RML       two models: as many steps together as DMT's iterations; RML in two stages of half as many
  RWMS                        two teachers, and two students with the steps of DMT's iterations
  Pretrained                  not equal: model A as the two-model methods start from it

Epochs are whole numbers, so rows differ by a few percent: the table prints the steps of each. With Difference
Maximized Sampling (dms_alpha below 1) DMT's two models are pretrained on fewer images, in fewer steps. Where the number
of train images is not known before they are opened (split.labelled is a number of images, and the data are not
`shapes`), Baseline has twice the pretraining alone, and Oracle its own steps.

Killed? Run it again: finished work is not computed twice. Additional seeds extend the same table.

examples:
  dmt ablate methods --dry-run                            what it would compute, and at what cost
  dmt ablate methods --seeds 0 1 2
  dmt ablate methods --recipe camvid --data camvid/ --seeds 0 1 2
  dmt ablate methods --rows DMT RML RWMS                  these and the reference
"""

import sys
from typing import Any

from dmt_ray.cli.ablate import Question, main
from dmt_ray.config import Config
from dmt_ray.experiments.ablation import Row

OFF = 0.1  # a part of its steps by which a training may miss them before its batch is changed by an image


def rows(config: Config) -> dict[str, Row]:
    """All methods; what each changes follows from the recipe's pretraining and iterations."""
    iteration = config.finetune.epochs / config.finetune.batch[1]  # steps for each unlabelled image
    own = iteration * len(config.percentiles)  # of one of DMT's two models
    longer = {"pretrain.epochs": 2 * config.pretrain.epochs}
    longer_iterations = longer | {"finetune.epochs": 2 * config.finetune.epochs}
    online, student = longer | lasting(config, "online", 2 * own), longer | lasting(config, "cotrain", 2 * own)
    students, of_stages = lasting(config, "cotrain", own), lasting(config, "cotrain", own / 2)
    return {
        "Baseline": Row("baseline", longer | supervised(config, "pretrain", own, seen=labelled_share(config))),
        "Pretrained": Row("baseline"),
        "Online ST": Row("online_st", online),
        "Pseudo-Label": Row("pseudo_label", online),
        "Self-training": Row("classical_st", longer | lasting(config, "retrain", 2 * own)),
        "CBST": Row("cbst", longer_iterations),
        "CL": Row("curriculum", longer | lasting(config, "retrain", 2 * iteration)),
        "DST": Row("dst", longer_iterations),
        "DMT-Naive": Row("dmt_naive"),
        "DMT": Row("dmt"),
        "DMT-Flip": Row("dmt_flip"),
        "DMT, sequential": Row("dmt", {"order": "sequential"}),
        "Mean Teacher": Row("mean_teacher", student),
        "FixMatch": Row("fixmatch", student),
        "UniMatch": Row("unimatch", student),
        "UniMatch V2": Row("unimatch_v2", student),
        "CPS": Row("cps", students),
        "Direct mutual learning": Row("direct_mutual", students),
        "IML": Row("iml", students),
        "RML": Row("rml", of_stages),
        "RWMS": Row("rwms", lasting(config, "retrain", 2 * own / (1 + config.reliable))),
        "Oracle": Row("oracle", supervised(config, "oracle", own, seen=1.0)),
    }


def lasting(config: Config, name: str, steps: float) -> dict[str, Any]:
    """Changes with which a training takes about so many steps for each unlabelled image."""
    batch = (getattr(config, name) or config.online).batch
    sizes = [size for size in (batch[1], batch[1] - 1, batch[1] + 1) if 0 < size < sum(batch)]
    epochs = {size: max(1, round(steps * size)) for size in sizes}
    off = {size: abs(epochs[size] / (steps * size) - 1) for size in sizes}
    size = sizes[0] if off[sizes[0]] <= OFF else min(sizes, key=off.__getitem__)
    return {f"{name}.epochs": epochs[size], f"{name}.batch": [sum(batch) - size, size]}


def supervised(config: Config, name: str, own: float, *, seen: float | None) -> dict[str, Any]:
    """Changes with which a training on true labels takes all of DMT's steps, if that can be known.

    Args:
        config: The settings.
        name: "pretrain" or "oracle".
        own: Steps of one of DMT's models for each unlabelled image.
        seen: Share of the train images that the training sees.
    """
    share = labelled_share(config)
    if share is None or seen is None:
        return {}
    each = config.pretrain.epochs * share / config.pretrain.batch[0] + own * (1 - share)  # for each train image
    return {f"{name}.epochs": max(1, round(2 * each * getattr(config, name).batch[0] / seen))}


def labelled_share(config: Config) -> float | None:
    """The share of the train images that is labelled; None: it takes the data to know it."""
    labelled = config.split.labelled
    if isinstance(labelled, float):
        return labelled
    if config.data.name != "shapes":
        return None
    from dmt_ray.data.sets.shapes import COUNTS  # takes a while to import

    return labelled / COUNTS["train"]


QUESTION = Question(__doc__, "methods", "How good are all methods with equal labels and equal steps?", rows)

if __name__ == "__main__":
    sys.exit(main(QUESTION))
