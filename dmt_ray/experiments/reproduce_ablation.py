"""The command that computes one number of a table again."""

import shlex

from dmt_ray.experiments.ablation import Wanted
from dmt_ray.experiments.ablation_file import AblationFile


def command(file: AblationFile, wanted: Wanted) -> str:
    """The command that performs a cell's plan for one seed; what is in the store is not computed twice."""
    cell = wanted.cell
    words = ["dmt", "run", "--recipe", cell.recipe, "--method", cell.method, "--seed", str(wanted.seed)]
    for change in cell.changes:
        words += ["--set", change]
    words += ["--storage", str(file.storage)]
    if file.data is not None:
        words += ["--data", str(file.data)]
    return shlex.join(words)
