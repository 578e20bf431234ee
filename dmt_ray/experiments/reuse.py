"""How much work trials share: optimizer steps separately, and of the union of their plans."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dmt_ray.errors import MissingStages, StoreError
from dmt_ray.execution.journal import SHARED, executed
from dmt_ray.experiments.sweep import Sweep, Trial
from dmt_ray.methods.space import Params
from dmt_ray.plan import Stage, in_order
from dmt_ray.store import Store


@dataclass(frozen=True)
class Sharing:
    """Optimizer steps of some trials."""

    trials: int
    alone: int  # if each computes all it needs
    together: int  # needed, or executed, when equal work is done once

    @property
    def share(self) -> float:
        """Part of the work that remains."""
        return self.together / self.alone if self.alone else 1.0


def compute(stages: Iterable[Stage], work_of: Callable[[Stage], int]) -> int:
    """Optimizer steps of the trainings among some stages, over all models."""
    return sum(work_of(stage) for stage in stages if stage.config.trains)


def a_seed(sweep: Sweep, point: Params, work_of: Callable[[Stage], int]) -> float:
    """Optimizer steps that a point takes for each of its seeds, over all models."""
    stages = [stage for plan in sweep.plans(point).values() for stage in plan.stages()]
    return compute(stages, work_of) / len(sweep.seeds)


def of(plans: Sequence[Sequence[Stage]], work_of: Callable[[Stage], int]) -> Sharing:
    """What some trials need, each given by its stages."""
    union = dict.fromkeys(stage for stages in plans for stage in stages)
    return Sharing(len(plans), sum(compute(stages, work_of) for stages in plans), compute(union, work_of))


def needed(sweep: Sweep, trials: Sequence[Trial]) -> list[list[Stage]]:
    """The stages of each trial as far as it came, of those whose point is known. A thousand trials take seconds."""
    begun = [trial for trial in trials if trial.params.keys() == sweep.space.keys()]
    return [in_order(sweep.targets(trial.params, len(trial.scores))) for trial in begun]


def performed(stages: Sequence[Sequence[Stage]], store: Store, folder: Path, trials: Sequence[Trial]) -> Sharing:
    """What trials needed, and what was executed for them, by the store's records; `stages` are those of `needed`."""
    own = {key for trial in trials for key in trial.executed} | set(executed(folder, SHARED))
    steps = {stage: _steps(store, stage) for stage in {stage for one in stages for stage in one}}
    alone = sum(steps[stage] for one in stages for stage in one)
    return Sharing(len(stages), alone, sum(count for stage, count in steps.items() if stage.key in own))


def _steps(store: Store, stage: Stage) -> int:
    """Optimizer steps by the record of a stage; 0 for one that trains nothing, or that is gone."""
    if not stage.config.trains:
        return 0
    try:
        return int(store.record(stage).made.get("steps", 0))
    except (StoreError, MissingStages):
        return 0
