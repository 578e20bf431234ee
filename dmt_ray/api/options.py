"""What a run is: the options of `dmt run`, and the arguments of `perform`."""

import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from dmt_ray.errors import ConfigError
from dmt_ray.execution.options import Options, check_seeds

if TYPE_CHECKING:
    from dmt_ray.config import Config
    from dmt_ray.execution.runner import Machine
    from dmt_ray.methods import Method


@dataclass(frozen=True, kw_only=True)
class RunOptions(Options):
    """What to perform, and how.

    Attributes:
        recipe: Recipe as it was given.
        changes: Overrides as they were given.
        method: A name in `methods.METHODS`.
        seed: Seed of everything that is random.
        device: Of a single worker, which is this process.
        threads: Its CPU threads; None: all cores.
    """

    recipe: str
    changes: tuple[str, ...]
    method: str
    seed: int
    device: str = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        check_seeds("--seed", [self.seed])
        super().__post_init__()
        group = {"--address": self.address, "--gpus-per-worker": self.gpus}
        given = [name for name, value in group.items() if value is not None] + ["--cpus-per-worker"] * (self.cpus > 1)
        if self.workers == 1 and given:
            raise ConfigError(
                f"{' and '.join(given)} is for --workers 2 or more; one worker is this process, on --device"
            )
        given = ["--device"] * (self.device != "auto") + ["--threads"] * (self.threads is not None)
        if self.workers > 1 and given:
            raise ConfigError(
                f"{' and '.join(given)} is for a single worker; --gpus-per-worker and --cpus-per-worker say what each "
                f"of {self.workers} workers has"
            )

    def experiment(self) -> "tuple[Config, Method]":
        """Settings and method, checked as far as possible without the data, before any slow import."""
        from dmt_ray.methods import METHODS, configure
        from dmt_ray.recipes import load

        method = METHODS[self.method]
        return load(self.recipe, self.changes, partial(configure, method)), method

    def machine(self) -> "Machine":
        """A runner that performs the work in this process."""
        from dmt_ray.execution.runner import Machine

        threads = self.threads or os.cpu_count() or 1
        return Machine(
            *(self.storage, self.data, self.device, threads, self.shared, self.compiled),
            eval_batch=self.eval_batch,
            deterministic=self.deterministic,
        )
