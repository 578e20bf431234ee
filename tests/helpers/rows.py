"""A user's own ablation, as the scripts in ablations/ are written; with a row that cannot end well."""

import sys

from dmt_ray.cli.ablate import Question, main
from dmt_ray.experiments.ablation import Row

ROWS = {
    "Baseline": Row("baseline"),
    "CBST": Row("cbst"),
    "CBST, far too fast": Row("cbst", {"finetune.learning_rate": 1e30}),
}

if __name__ == "__main__":
    sys.exit(main(Question("A row in one line.", "rows", "Does one line suffice?", ROWS)))
