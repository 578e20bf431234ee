"""Pseudo labels for whole images: Tables 2 and 3 of DMT, on any recipe for classification.

Rows: the supervised baseline; Curriculum Labeling (CL), a chain of new models, each taught by the one before, in which
every pseudo label counts the same; the same chain with the dynamic loss (DMT) and with the student's confidence alone
(DMT-Naive); the oracle, which sees all labels. On CIFAR-10 the columns are the paper's 4,000 and 1,000 labels. All rows
but Baseline and Oracle have the same labels in their first iteration, and the same number of steps.

Killed? Run it again: finished work is not computed twice. Additional seeds extend the same table.

examples:
  dmt ablate images --dry-run                                          the built-in digits, five seeds
  dmt ablate images --recipe cifar10-small --data cifar10_small/ --seeds 0 1 2
  dmt ablate images --recipe cifar10-4000 --data cifar10/ --address auto   both columns of Table 2
"""

import sys

from dmt_ray.cli.ablate import Question, main
from dmt_ray.config import Config
from dmt_ray.experiments.ablation import Column, Row

CIFAR10 = {"4,000 labels": "cifar10-4000", "1,000 labels": "cifar10-1000"}


def rows(config: Config) -> dict[str, Row]:
    """The oracle has the same split in all columns, so that it is the same work."""
    return {
        "Baseline": Row("baseline"),
        "CL": Row("curriculum"),
        "DMT-Naive": Row("dmt_naive"),
        "DMT": Row("dmt"),
        "Oracle": Row("oracle", {"split.labelled": config.split.labelled}),
    }


def columns(config: Config) -> dict[str, Column]:
    """The paper's numbers of labels, or the recipe itself."""
    if config.recipe not in CIFAR10.values():
        return {config.recipe: Column()}
    return {name: Column(recipe=recipe, paper=name.replace(",", "")) for name, recipe in CIFAR10.items()}


QUESTION = Question(
    __doc__,
    "images",
    "Does the dynamic loss help where an image has one class?",
    rows,
    columns=columns,
    paper={"cifar10": "dmt-2"},
    recipe="digits",
)

if __name__ == "__main__":
    sys.exit(main(QUESTION))
