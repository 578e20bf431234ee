"""What can be published: a sweep or an ablation as far as it has come, or a single run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from dmt_ray.config import Config
from dmt_ray.experiments.ablation_file import AblationFile
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.experiments.sweep import Sweep, Trial
from dmt_ray.plan import Plan
from dmt_ray.plan.key import key_of
from dmt_ray.store import Store

SweepState = Literal["running", "finished", "stopped"]
"""Of a sweep or an ablation: a process is at it, it came to its end, or neither."""


@dataclass(frozen=True)
class SweepResults:
    """A sweep as it is now.

    Attributes:
        store: Where its stages are.
        sweep: The sweep.
        trials: All trials that have begun.
        about: Names, colours and splits.
        replay: Trial number -> the command that repeats it.
        result: What came out, in Markdown, for the head of the MLflow run; "": the best trial is named.
        state: "running" while the driver is at it; else a trial that still runs counts as interrupted.
    """

    store: Store
    sweep: Sweep
    trials: tuple[Trial, ...]
    dataset_info: DatasetInfo = field(default_factory=DatasetInfo)
    replay: Mapping[int, str] = field(default_factory=dict)
    result: str = ""
    state: SweepState = "running"

    @property
    def name(self) -> str:
        """The sweep's name: newer results of one name replace older ones that still wait."""
        return self.sweep.name

    @property
    def begun(self) -> list[Trial]:
        """The trials whose settings are known."""
        return [trial for trial in self.trials if trial.params.keys() == self.sweep.space.keys()]


@dataclass(frozen=True)
class AblationResults:
    """An ablation as it is now; what of it is there, the store says.

    Attributes:
        store: Where its stages are.
        file: The ablation, with names, colours and splits of its columns, and what its commands need.
        failed: Name of a stage -> why it failed in the last start.
        table: Makes the table of what is there, in Markdown; None: the page says the means alone.
        state: "running" while the driver is at it; else what is begun and not complete counts as interrupted.
    """

    store: Store
    file: AblationFile
    failed: Mapping[str, str] = field(default_factory=dict)
    table: Callable[[], str] | None = None
    state: SweepState = "running"

    @property
    def name(self) -> str:
        """The ablation's name."""
        return self.file.ablation.name


@dataclass(frozen=True)
class RunResults:
    """One method on its settings with one seed, as `dmt run` performs it."""

    method: str
    config: Config
    seed: int
    plan: Plan
    store: Store
    dataset_info: DatasetInfo = field(default_factory=DatasetInfo)

    @property
    def name(self) -> str:
        """Method, recipe, seed, and what makes it this run and no other."""
        identity = key_of({"method": self.method, "config": self.config.identity(), "seed": self.seed})
        return f"{self.method}-{self.config.recipe}-seed{self.seed}-{identity[:8]}"


Results = SweepResults | AblationResults | RunResults
