"""What a run is asked for: the options of `dmt run`, and the arguments of `perform`."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from dmt_ray.errors import ConfigError
from dmt_ray.execution.options import Options

if TYPE_CHECKING:
    from dmt_ray.config import Config
    from dmt_ray.execution.runner import Machine
    from dmt_ray.methods import Method


@dataclass(frozen=True, kw_only=True)
class RunOptions(Options):
    """What is performed, and how.

    Attributes:
        recipe: Recipe as it was given.
        changes: Overrides as they were given.
        method: A name in `methods.METHODS`.
        seed: Seed of everything that is random.
        device: Of a single worker, which is this process.
        threads: Its CPU threads.
    """

    recipe: str
    changes: tuple[str, ...]
    method: str
    seed: int
    device: str = "auto"
    threads: int = 1

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ConfigError(f"--seed must be 0 or more, but got {self.seed}")
        super().__post_init__()
        given = [
            name for name, value in (("--address", self.address), ("--gpus-per-worker", self.gpus)) if value is not None
        ]
        if self.workers == 1 and given:
            raise ConfigError(
                f"{' and '.join(given)} is for --workers 2 or more; one worker is this process, on --device"
            )

    def experiment(self) -> "tuple[Config, Method]":
        """Settings and method, checked as far as that goes without the data, before anything heavy is imported."""
        from dmt_ray.methods import METHODS, configure
        from dmt_ray.recipes import load

        method = METHODS[self.method]
        return load(self.recipe, self.changes, partial(configure, method)), method

    def machine(self) -> "Machine":
        """This process as the one that performs the work."""
        from dmt_ray.execution.runner import Machine

        return Machine(self.storage, self.data, self.device, self.threads, self.shared, self.compiled)
