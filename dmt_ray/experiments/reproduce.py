"""The commands that repeat a part of an experiment, as they can be typed."""

import shlex
from collections.abc import Sequence
from typing import Any

from dmt_ray.experiments.ablation import Member
from dmt_ray.experiments.experiment_file import ExperimentFile
from dmt_ray.experiments.sweep import Trial


def of_trial(file: ExperimentFile, trial: Trial) -> str:
    """The command that performs a trial's plans again; what is in the store is not computed twice."""
    settings = file.sweep.settings(trial.params)
    changes = [*file.changes, *(f"{setting}={_text(value)}" for setting, value in settings.items())]
    return _run(file, file.recipe, file.sweep.method_of(trial.params), changes, file.sweep.seeds)


def of_member(file: ExperimentFile, member: Member) -> str:
    """The command that computes one number of an ablation's table again."""
    cell = member.cell
    return _run(file, cell.recipe, cell.method, cell.changes, [member.seed])


def _run(file: ExperimentFile, recipe: str, method: str, changes: Sequence[str], seeds: Sequence[int]) -> str:
    words = ["dmt", "run", "--recipe", recipe, "--method", method]
    for change in changes:
        words += ["--set", change]
    words += ["--storage", str(file.storage)]
    if file.data is not None:
        words += ["--data", str(file.data)]
    if len(seeds) == 1:
        return shlex.join([*words, "--seed", str(seeds[0])])
    return f"for seed in {' '.join(map(str, seeds))}; do {shlex.join(words)} --seed $seed; done"


def _text(value: Any) -> str:
    """A value as `--set` reads it: exact, and in one word."""
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_text, value))}]"
    return value if isinstance(value, str) else repr(value)
