"""The command that repeats one trial of a sweep."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dmt_ray.experiments.sweep import Sweep, Trial


@dataclass(frozen=True)
class Replay:
    """What the command needs beside the trial's own settings.

    Attributes:
        recipe: As it was given.
        changes: The overrides that were given.
        storage: Folder of the store.
        data: Folder of the data set, where one was given.
    """

    recipe: str
    changes: Sequence[str]
    storage: Path
    data: Path | None = None

    def command(self, sweep: Sweep, trial: Trial) -> str:
        """The command that performs a trial's plans again; what is in the store is not computed twice."""
        words = ["dmt", "run", "--recipe", self.recipe, "--method", sweep.method_of(trial.params)]
        settings = sweep.settings(trial.params)
        for change in [*self.changes, *(f"{setting}={_text(value)}" for setting, value in settings.items())]:
            words += ["--set", change]
        words += ["--storage", str(self.storage)]
        if self.data is not None:
            words += ["--data", str(self.data)]
        if len(sweep.seeds) == 1:
            return f"{shlex.join(words)} --seed {sweep.seeds[0]}"
        return f"for seed in {' '.join(map(str, sweep.seeds))}; do {shlex.join(words)} --seed $seed; done"


def _text(value: Any) -> str:
    """A value as `--set` reads it: exact, and in one word."""
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_text, value))}]"
    return value if isinstance(value, str) else repr(value)
