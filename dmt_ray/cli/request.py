"""What the command lines of searches and ablations ask for alike: where results are, and who performs the work."""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmt_ray.cli.options import (
    STALL_SECONDS,
    add_address,
    add_experiment,
    add_shared_store,
    add_storage,
    add_tracking,
    add_workers,
    check_workers,
)
from dmt_ray.errors import ConfigError

if TYPE_CHECKING:
    from dmt_ray.execution.runner import Machine
    from dmt_ray.execution.worker_group import WorkerGroup


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Where results are, and who performs the work; None means: decide yourself.

    Attributes:
        storage: Folder of the results, absolute.
        data: Folder of the data set, absolute; None: below the variable DMT_DATA.
        address: Ray cluster; None: a local Ray.
        concurrent: Trials, stages, or plans of worker groups, at a time; None: as many as there is room for.
        workers: Workers of a plan: 1, or an even number.
        gpus: GPUs of a worker; None: 1 where there are GPUs.
        cpus: CPUs of a worker.
        compiled: Whether networks go through torch.compile.
        shared: URL of an object store that the machines share; None: they all see the storage folder.
        stall_seconds: After so long without progress a worker is taken to hang.
        tracking_uri: MLflow; None: in the storage folder.
        dry_run: Only say what would be done.
    """

    storage: Path
    data: Path | None
    address: str | None
    concurrent: int | None
    workers: int
    gpus: float | None
    cpus: int
    compiled: bool
    shared: str | None
    stall_seconds: float
    tracking_uri: str | None
    dry_run: bool

    def allocate(self) -> "tuple[Machine, WorkerGroup, int]":
        """What the workers are told, a worker group that the cluster has room for, and for how many of them at once.

        Ray has to be connected.

        Raises:
            UserError: If there is no room, or a machine of the cluster does not see the folders.
        """
        from dmt_ray.execution import cluster
        from dmt_ray.execution.runner import Machine
        from dmt_ray.execution.worker_group import allocate

        if self.address is not None:
            cluster.check_nodes(None if self.shared else self.storage, self.data)
        worker_group, room = allocate(cluster.nodes(), self.workers, cpus=self.cpus, gpus=self.gpus)
        machine = Machine(
            self.storage,
            self.data,
            device="cuda" if worker_group.gpus else "cpu",
            threads=worker_group.cpus,
            shared=self.shared,
            compiled=self.compiled,
            stall_seconds=self.stall_seconds,
        )
        return machine, worker_group, min(self.concurrent or room, room)


def add_options(
    parser: argparse.ArgumentParser, *, seeds: list[int], of_seeds: str, at_a_time: str, recipe: str = "shapes"
) -> None:
    """Add the options that `asked` reads, and those of recipe and seeds.

    Args:
        parser: The script's parser.
        seeds: The seeds that are taken where none are given.
        of_seeds: What is done on all seeds, in words.
        at_a_time: What --max-concurrent counts: "trials".
        recipe: The recipe that is taken where none is given.
    """
    add_experiment(parser, recipe)
    add_storage(parser)
    add_shared_store(parser)
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="folder of the data set (default: below the variable DMT_DATA)"
    )
    add_address(parser)
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=seeds,
        metavar="SEED",
        help=f"{of_seeds} on all of them (default: {' '.join(map(str, seeds))})",
    )
    parser.add_argument(
        "--max-concurrent",
        type=int,
        metavar="N",
        help=f"{at_a_time} at a time (default: as many as there is room for)",
    )
    add_workers(parser)
    parser.add_argument(
        "--stall-limit",
        type=float,
        default=STALL_SECONDS,
        metavar="SECONDS",
        help=f"a worker that gets no further for so long is taken to hang, and replaced (default: {STALL_SECONDS:.0f})",
    )
    add_tracking(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be done and what it costs, and stop")


def check(options: argparse.Namespace) -> None:
    """Refuse what can never be.

    Raises:
        ConfigError: With what would do.
    """
    if options.max_concurrent is not None and options.max_concurrent < 1:
        raise ConfigError(f"--max-concurrent must be 1 or more, but got {options.max_concurrent}")
    if not options.stall_limit > 0:
        raise ConfigError(f"--stall-limit must be above 0 seconds, but got {options.stall_limit:g}")
    if min(options.seeds) < 0 or len(set(options.seeds)) < len(options.seeds):
        raise ConfigError(f"--seeds must be different numbers from 0 on, but got {' '.join(map(str, options.seeds))}")
    check_workers(options)


def asked(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of `Asked`, from the options of `add_options`."""
    return {
        "storage": Path(os.path.abspath(options.storage)),
        "data": None if options.data is None else Path(os.path.abspath(options.data)),
        "address": options.address,
        "concurrent": options.max_concurrent,
        "workers": options.workers,
        "gpus": options.gpus_per_worker,
        "cpus": options.cpus_per_worker,
        "compiled": options.compile,
        "shared": options.shared_store,
        "stall_seconds": options.stall_limit,
        "tracking_uri": options.tracking_uri,
        "dry_run": options.dry_run,
    }
