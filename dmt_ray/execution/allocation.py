"""How many workers perform something together, and whether a cluster has room for them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dmt_ray.errors import ConfigError
from dmt_ray.plan.words import counted


@dataclass(frozen=True)
class WorkerGroup:
    """How many workers, and what each of them has.

    Attributes:
        workers: 1, or an even number. One worker needs no Ray Train: see `runner.Runner`.
        cpus: CPUs of a worker, and its threads.
        gpus: GPUs of a worker; a part lets several workers share one.
    """

    workers: int
    cpus: int = 1
    gpus: float = 0.0

    @property
    def resources(self) -> dict[str, float]:
        """What Ray sets aside for a worker."""
        return {"CPU": float(self.cpus)} | ({"GPU": self.gpus} if self.gpus else {})

    def __str__(self) -> str:
        return f"{counted(self.workers, 'worker')} of {in_words(self.resources)}{' each' * (self.workers > 1)}"

    def room(self, nodes: Iterable[Mapping[str, float]]) -> int:
        """How many such workers fit on these nodes, given each node's resources."""
        needs = self.resources.items()
        return sum(min(_places(node.get(name, 0.0), amount) for name, amount in needs) for node in nodes)


def in_words(resources: Mapping[str, float]) -> str:
    """Resources for people: "1 CPU", "2 CPUs and 0.5 GPUs"."""
    return " and ".join(counted(n, name) for name, n in resources.items() if n)


def _places(free: float, amount: float) -> int:
    """How often an amount fits; a part of a GPU lies on one GPU."""
    return int(free) * int(1 / amount + 1e-6) if amount < 1 else int(free / amount)


def allocate(
    nodes: Sequence[Mapping[str, float]], workers: int, *, cpus: int, gpus: float | None, option: str = "--workers"
) -> tuple[WorkerGroup, int]:
    """A worker group that a cluster has room for, and for how many such worker groups it has room at once.

    The resources of each node are given; gpus None means 1 for each worker where there are GPUs. The option is what
    says how many workers.

    Raises:
        ConfigError: If there is no room for one; with the option that asks for too much, what there is, and what would
            fit.
    """
    if gpus is None:
        gpus = float(any(node.get("GPU", 0.0) for node in nodes))
    worker_group = WorkerGroup(workers, cpus, gpus)
    room = worker_group.room(nodes)
    if not room:
        raise ConfigError(_why_none_fits(nodes, worker_group))
    if room < workers:
        fitting = room - room % 2 if room > 1 else room
        each = in_words(worker_group.resources)
        place = counted(room, "worker")
        raise ConfigError(
            f"{option} is {workers}, but there is room for {place} of {each}: {option} {fitting} would fit"
        )
    return worker_group, room // workers


def _why_none_fits(nodes: Sequence[Mapping[str, float]], group: WorkerGroup) -> str:
    """What stands in the way of even one worker, and what would fit."""
    having = [node for node in nodes if not group.gpus or _places(node.get("GPU", 0.0), group.gpus)]
    if not having:
        found = f"{counted(len(nodes), 'node')} with {counted(_total(nodes, 'CPU'), 'CPU')} altogether"
        return (
            f"--gpus-per-worker is {group.gpus:g}, but no node of the Ray cluster has a GPU (found: {found}). Leave it "
            "out to compute on CPUs, or run the command on a cluster whose nodes have GPUs, see --address"
        )
    most = max(int(node.get("CPU", 0.0)) for node in having)
    where = "node of the Ray cluster" + (" that has a GPU" if group.gpus else "")
    if not most:
        return f"no {where} has a CPU for workers: begin one with `ray start --num-cpus`, with 1 or more"
    text = f"--cpus-per-worker is {group.cpus}, but no {where} has more than {counted(most, 'CPU')}"
    return f"{text}: --cpus-per-worker {most} would fit"


def _total(nodes: Iterable[Mapping[str, float]], name: str) -> int:
    return int(sum(node.get(name, 0.0) for node in nodes))
