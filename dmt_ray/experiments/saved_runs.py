"""Runs of `dmt run`, written down in the storage folder, so that they can be published again later."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from dmt_ray.config import Config
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.files import write_text
from dmt_ray.methods import METHODS
from dmt_ray.plan import Plan
from dmt_ray.plan.key import key_of

FOLDER = "experiments"  # below the storage folder


@dataclass(frozen=True)
class Run:
    """One method on its settings with one seed, as `dmt run` performs it.

    Attributes:
        method: A name in `methods.METHODS`.
        config: Its settings, bound to their data.
        seed: Its seed.
        dataset_info: Names and colours of the classes, split and command.
    """

    method: str
    config: Config
    seed: int
    dataset_info: DatasetInfo = field(default_factory=DatasetInfo)

    @cached_property
    def plan(self) -> Plan:
        """What it performs."""
        return METHODS[self.method](self.config, self.seed)

    @property
    def name(self) -> str:
        """Method, recipe, seed, and what makes it this run and no other."""
        identity = key_of({"method": self.method, "config": self.config.identity(), "seed": self.seed})
        return f"{self.method}-{self.config.recipe}-seed{self.seed}-{identity[:8]}"


def save_run(storage: Path, run: Run) -> None:
    """Write down what is needed to publish a run again."""
    content = {
        "method": run.method,
        "config": run.config.model_dump(mode="json"),
        "seed": run.seed,
        "about": run.dataset_info.to_json(),
    }
    write_text(storage / FOLDER / f"{run.name.replace('/', '-')}.json", json.dumps(content, indent=1) + "\n")


def saved_runs(storage: Path) -> Iterator[Run]:
    """All runs that were written down, by name."""
    for file in sorted((storage / FOLDER).glob("*.json")):
        content = json.loads(file.read_text(encoding="utf-8"))
        info = DatasetInfo.from_json(content["about"])
        yield Run(content["method"], Config(**content["config"]), content["seed"], info)
