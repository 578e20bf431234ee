"""Where results are and who performs the work: what the command lines of runs, sweeps and ablations have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dmt_ray.errors import ConfigError

if TYPE_CHECKING:
    from dmt_ray.execution.allocation import WorkerGroup
    from dmt_ray.execution.runner import Machine, Runner


MAX_SEED = 2**32 - 1


def check_seeds(option: str, seeds: Sequence[int]) -> None:
    """Raise ConfigError unless the seeds of an option differ and lie in range."""
    if any(not 0 <= seed <= MAX_SEED for seed in seeds) or len(set(seeds)) < len(seeds):
        what = "a number" if option == "--seed" else "different numbers"
        raise ConfigError(f"{option} must be {what} from 0 to {MAX_SEED:,}, but got {' '.join(map(str, seeds))}")


def check_workers(option: str, workers: int) -> None:
    """Raise ConfigError unless so many workers can perform something together."""
    if workers < 1 or (workers > 1 and workers % 2):
        fitting = f"{workers - 1} or {workers + 1}" if workers > 1 else "1"
        text = f"{option} must be 1 or an even number, one half for each model, but got {workers}"
        raise ConfigError(f"{text}; {fitting} would do")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Where results are, and who performs the work; None: as it suits the machine.

    Attributes:
        storage: Folder of the results, absolute.
        data: Folder of the data set, absolute; None: below the variable DMT_DATA.
        address: Ray cluster; None: a local Ray.
        concurrent: Trials, stages, or plans of worker groups, at a time; None: as many as there is room for.
        workers: Workers of a plan: 1, or an even number.
        gpus: GPUs of a worker; None: 1 where there are GPUs.
        cpus: CPUs of a worker.
        compiled: Whether networks go through torch.compile.
        eval_batch: Images in a forward pass of labelling and scoring; None: `plan.amounts.EVAL_BATCH`.
        deterministic: Whether only algorithms are allowed that give the same bits each time.
        shared: URL of an object store that the machines share; None: they all see the storage folder.
        stall_seconds: After so long without progress a worker counts as hanging.
        tracking_uri: MLflow; None: in the storage folder.
        dry_run: Only say what would be done.
        command: The command line, without passwords.
        seeds: Seeds of every member.

    Raises:
        ConfigError: For values that no cluster can meet, or that contradict each other; with what would do.
    """

    storage: Path
    data: Path | None = None
    address: str | None = None
    concurrent: int | None = None
    workers: int = 1
    gpus: float | None = None
    cpus: int = 1
    compiled: bool = False
    eval_batch: int | None = None
    deterministic: bool = False
    shared: str | None = None
    stall_seconds: float = 1800.0
    tracking_uri: str | None = None
    dry_run: bool = False
    command: str = ""
    seeds: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        if self.concurrent is not None and self.concurrent < 1:
            raise ConfigError(f"--max-concurrent must be 1 or more, but got {self.concurrent}")
        if not self.stall_seconds > 0:
            raise ConfigError(f"--stall-limit must be above 0 seconds, but got {self.stall_seconds:g}")
        check_seeds("--seeds", self.seeds)
        if self.gpus is not None and not 0 <= self.gpus <= 1:
            text = f"--gpus-per-worker must be between 0 and 1, as a worker uses one GPU, but got {self.gpus:g}"
            raise ConfigError(text)
        if self.eval_batch is not None and self.eval_batch < 1:
            raise ConfigError(f"--eval-batch must be 1 or more, but got {self.eval_batch}")
        if self.cpus < 1:
            raise ConfigError(f"--cpus-per-worker must be 1 or more, but got {self.cpus}")
        check_workers("--workers", self.workers)

    def driver(self) -> "Runner":
        """What the driver opens data and store with."""
        from dmt_ray.execution.runner import Machine, Runner

        return Runner(Machine(self.storage, self.data, device="cpu", shared=self.shared))

    def allocate(self) -> "tuple[Machine, WorkerGroup, int]":
        """What the workers need to know, a worker group that fits the cluster, and for how many of them there is room.

        Ray has to be connected.

        Raises:
            UserError: If there is no room, or a machine of the cluster does not see the folders.
        """
        from dmt_ray.execution import cluster
        from dmt_ray.execution.runner import Machine

        if self.address is not None:
            cluster.check_nodes(None if self.shared else self.storage, self.data)
        group, room = self._allocated(cluster.nodes(), self.workers)
        machine = Machine(
            *(self.storage, self.data, "cuda" if group.gpus else "cpu", group.cpus, self.shared, self.compiled),
            stall_seconds=self.stall_seconds,
            eval_batch=self.eval_batch,
            deterministic=self.deterministic,
        )
        return machine, group, room

    def local_cpus(self) -> int:
        """CPUs of a local Ray."""
        from dmt_ray.execution import cluster

        return max(self.concurrent or 1, cluster.cpus())

    def expected(self) -> "tuple[WorkerGroup, int] | None":
        """The worker group and the room that `allocate` will find on a local Ray, without starting it.

        None: on a cluster, which is not asked before it is joined.

        Raises:
            ConfigError: If there is no room.
        """
        return None if self.address is not None else self._allocated([self._local_node()], self.workers)

    def check_room(self) -> None:
        """Raise ConfigError before a local Ray is started that has no room."""
        self.expected()

    def _local_node(self) -> dict[str, float]:
        from dmt_ray.execution import cluster

        return {"CPU": float(self.local_cpus()), "GPU": float(cluster.gpus())}

    def _allocated(
        self, nodes: Sequence[Mapping[str, float]], workers: int, option: str = "--workers"
    ) -> "tuple[WorkerGroup, int]":
        """A worker group, and how many of them are at work at a time."""
        from dmt_ray.execution.allocation import allocate

        group, room = allocate(nodes, workers, cpus=self.cpus, gpus=self.gpus, option=option)
        return group, min(self.concurrent or room, room)
