"""What the command line of a search says, and which options contradict each other."""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dmt_ray.errors import ConfigError
from dmt_ray.execution.options import Options, check_seeds, check_workers
from dmt_ray.experiments.looks import in_words as looks_in_words
from dmt_ray.experiments.looks import looks_of
from dmt_ray.plan.words import counted

if TYPE_CHECKING:
    from dmt_ray.execution.allocation import WorkerGroup
    from dmt_ray.execution.worker import Job

TRIALS = 12
SHARED_WORKERS = "--shared-workers"


@dataclass(frozen=True, kw_only=True)
class SweepOptions(Options):
    """What the command line of a search says.

    Attributes:
        recipe: Recipe as it was given.
        changes: Overrides as they were given.
        trials: Trials in all; None: all points of the grid.
        fresh: Keep the old study under another name and start a new one.
        sampler: A name in `declared.SAMPLERS`.
        pruner: A name in `declared.PRUNERS`.
        confirm: Fresh seeds on which the best trial and the recipe are run again.
        looks: Numbers of these seeds after which it is seen whether the two differ; (): all seeds are run.
        hours: Hours of work in all; None: no limit.
        device_hours: Hours of all devices in all; None: no limit.
        stop_when_flat: Trials in a row without a gain beyond noise, after which none begins; None: no limit.
        compute_limit: Optimizer steps of a point for each seed, over all models, at most; None: no limit.
        warm_start: Whether the best points of earlier searches of the same space come first.
        shared_workers: Workers that together perform the stages that all trials share; None: as many as a trial has.
    """

    recipe: str
    changes: tuple[str, ...]
    trials: int | None = TRIALS
    fresh: bool = False
    sampler: str = "tpe"
    pruner: str = "median"
    confirm: tuple[int, ...] = ()
    looks: tuple[int, ...] = ()
    hours: float | None = None
    device_hours: float | None = None
    stop_when_flat: int | None = None
    compute_limit: float | None = None
    warm_start: bool = False
    shared_workers: int | None = None

    def allocate_shared(self, job: "Job", room: int) -> "tuple[Job, int]":
        """What the workers of the shared stages need to know, and how many units of these stages fit at once.

        Ray has to be connected.

        Args:
            job: What a trial's workers need to know.
            room: Trials for which there is room.

        Raises:
            ConfigError: If there is no room for so many workers, with what would fit.
        """
        if self.shared_workers is None or self.shared_workers == self.workers:
            return job, room
        from dmt_ray.execution import cluster

        group, fitting = self._allocated(cluster.nodes(), self.shared_workers, SHARED_WORKERS)
        return replace(job, worker_group=group), fitting

    def expected_shared(self) -> "tuple[WorkerGroup, int] | None":
        """The same as `expected` for the shared stages; None also where they are performed as trials are.

        Raises:
            ConfigError: If there is no room.
        """
        if self.address is not None or self.shared_workers in (None, self.workers):
            return None
        return self._allocated([self._local_node()], self.shared_workers or 1, SHARED_WORKERS)

    def check_room(self) -> None:
        """The same, also for the shared stages."""
        super().check_room()
        self.expected_shared()


def check(options: argparse.Namespace) -> None:
    """Refuse options that contradict each other, and fill in what others imply."""
    if options.trials is not None and options.trials < 1:
        raise ConfigError(f"--trials must be 1 or more, but got {options.trials}")
    if options.shared_workers is not None:
        check_workers(SHARED_WORKERS, options.shared_workers)
    _check_sampler(options)
    _check_fresh(options.confirm, options.seeds)
    _check_looks(options)
    _check_budget(options)
    _check_pruner(options)


def _check_fresh(fresh: Sequence[int], searched: Sequence[int]) -> None:
    check_seeds("--confirm", fresh)
    if used := sorted(set(fresh) & set(searched)):
        raise ConfigError(
            f"--confirm needs fresh seeds, but the search itself uses {', '.join(map(str, used))}: its best trial was "
            "selected on them"
        )


def _check_looks(options: argparse.Namespace) -> None:
    """Fill in the looks of a confirmation, and refuse seeds that are not as many as the last of them takes."""
    looks = options.looks = looks_of(options.until_decided, options.looks)
    if looks and len(options.confirm) != looks[-1]:
        first = options.confirm[0] if options.confirm else 100
        raise ConfigError(
            f"--until-decided takes the fresh seeds of --confirm, {looks[-1]} for looks after {looks_in_words(looks)}, "
            f"but got {len(options.confirm)}: pass --confirm $(seq {first} {first + looks[-1] - 1})"
        )


def _check_budget(options: argparse.Namespace) -> None:
    """Refuse budgets that can be of no use, and fill in the limit as a number."""
    for option, value in (("--hours", options.hours), ("--device-hours", options.device_hours)):
        if value is not None and not 0 < value < math.inf:
            raise ConfigError(f"{option} must be a number above 0, but got {value:g}")
    if options.stop_when_flat is not None:
        if options.stop_when_flat < 1:
            raise ConfigError(f"--stop-when-flat must be 1 or more, but got {options.stop_when_flat}")
        if len(options.seeds) < 2:
            raise ConfigError(
                "--stop-when-flat measures the noise on seeds that trials have in common, but there is only one: pass "
                "two --seeds or more"
            )
    if options.limit is not None:
        name, _, text = options.limit.partition("=")
        try:
            options.compute_limit = float(text)
        except ValueError:
            options.compute_limit = math.nan
        if name != "compute" or not 0 < options.compute_limit < math.inf:
            raise ConfigError(f"--limit takes compute=STEPS, such as compute=20000, but got {options.limit}")


def _check_sampler(options: argparse.Namespace) -> None:
    """Fill in the default sampler, and refuse options that contradict the sampler."""
    if options.grid is not None and options.grid < 2:
        raise ConfigError(f"--grid must be 2 or more, but got {options.grid}")
    if options.grid is not None and options.sampler not in (None, "grid"):
        raise ConfigError(
            f"--grid {options.grid} tries every point of a grid, and --sampler {options.sampler} proposes points of "
            "its own: leave one of them out"
        )
    given = options.sampler
    options.sampler = given or ("grid" if options.grid is not None else options.default_sampler)
    if options.sampler == "grid":
        without = [] if options.grid is None else [f"leave --grid {options.grid} out"]
        other = ["pass --sampler tpe"] if "grid" in (given, options.default_sampler) else []
        for name in ("trials", "limit", "warm_start"):
            if getattr(options, name):
                option = f"--{name.replace('_', '-')}"
                raise ConfigError(
                    f"a grid tries all its points, and {option} is for searches: leave {option} out; or, to search, "
                    f"{' and '.join([*without, *other])}"
                )


def _check_pruner(options: argparse.Namespace) -> None:
    """Fill in the default pruner, and refuse one that could never prune."""
    why = "a grid is" if options.sampler == "grid" else "two objectives are" if options.second else ""
    if why and options.pruner not in (None, "none"):
        raise ConfigError(f"{why} never pruned: leave --pruner {options.pruner} out")
    options.pruner = options.pruner or ("none" if why else "median")
    if options.pruner != "wilcoxon":
        return
    from dmt_ray.search.pruning import P_THRESHOLD, least_seeds  # takes a while to import

    if len(options.seeds) < least_seeds():
        raise ConfigError(
            f"--pruner wilcoxon can never stop a trial with {counted(len(options.seeds), 'seed')}: a trial has to lose "
            f"on {least_seeds() - 1} seeds to reach p = {0.5 ** (least_seeds() - 1):g}, the first value below "
            f"{P_THRESHOLD:g}, and only the seeds after those are saved. Pass at least {least_seeds()} --seeds, or use "
            "--pruner median"
        )
