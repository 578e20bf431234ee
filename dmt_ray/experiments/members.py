"""The members of an experiment of any kind: named plans."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from dmt_ray.config import Config
from dmt_ray.experiments.experiment_file import ExperimentFile
from dmt_ray.experiments.sweep import in_words
from dmt_ray.experiments.trials import read_trials
from dmt_ray.methods import METHODS
from dmt_ray.plan import Plan, Stage, in_order


class PlannedMember(NamedTuple):
    """A method with settings and a seed."""

    name: str  # for people: "DMT, 1/20, seed 0"
    method: str  # a name in `methods.METHODS`
    config: Config  # bound to its data
    seed: int

    def plan(self) -> Plan:
        """Its plan."""
        return METHODS[self.method](self.config, self.seed)


def members_of(file: ExperimentFile, folder: Path) -> Iterator[PlannedMember]:
    """The members of the run, ablation or sweep in a folder; of a sweep those of the trials that have begun."""
    if file.kind == "run":
        yield PlannedMember(file.run.method, file.run.method, file.run.config, file.run.seed)
    elif file.kind == "ablation":
        for one in file.ablation.members():
            yield PlannedMember(one.name, one.cell.method, one.cell.config, one.seed)
    else:
        sweep = file.sweep
        for trial in read_trials(folder, sweep.name):
            if trial.params.keys() == sweep.space.keys():
                name = f"trial {trial.number}: {in_words(trial.params)}"
                config, method = sweep.config_of(trial.params), sweep.method_of(trial.params)
                yield from (PlannedMember(f"{name}, seed {seed}", method, config, seed) for seed in sweep.seeds)


def stages_of(members: Iterable[PlannedMember]) -> list[Stage]:
    """All stages of some members, each once, inputs first."""
    return in_order(target for member in members for target in member.plan().targets())
