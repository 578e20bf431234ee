"""A worker group performs stages together in Ray Train runs: half of the workers are side A, the others side B.

The driver decides and the workers obey. The driver leases what is missing, cuts it into waves of stages that do not
depend on each other, and starts one Ray Train run for all of them. A wave of several stages is assigned to the two
sides, each of which is one process group; a wave of a single stage is performed by all workers together. The
workers meet in the store: a wave begins when all stages of the one before are there.
"""

import platform
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from dmt_ray.config import SIDES
from dmt_ray.engine.team import Team
from dmt_ray.errors import ConfigError, DataError, ModelError, StoreError, TrainingFailed, UserError
from dmt_ray.execution import ray_private
from dmt_ray.execution.runner import Machine, Notice, Progress, Runner
from dmt_ray.plan import Stage, in_order, waves
from dmt_ray.plan.words import counted
from dmt_ray.store.files import staging_name

LOST_RUNS = 2  # in a row, without a stage that was finished; with one more the work is given up
POLL_SECONDS = 0.1  # between two looks of the driver at what is there
BARRIER_SECONDS = 0.02  # and of the workers, who wait for each other's stages
COLLECTIVE_SECONDS = 1800  # workers of a stage wait for each other no longer; one of them may have to write or score
STARTS = 12  # attempts to find room for all workers, 5 minutes each: nodes may be lost, and come back
Begun = Callable[[Stage, int], None]


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

    def room(self, nodes: Iterable[Mapping[str, float]]) -> int:
        """How many such workers fit on these nodes, given each node's resources."""
        needs = self.resources.items()
        return sum(min(_places(node.get(name, 0.0), amount) for name, amount in needs) for node in nodes)


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
        each = " and ".join(counted(n, name) for name, n in worker_group.resources.items())
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


@dataclass(frozen=True)
class Wave:
    """Stages that do not depend on each other, and who performs them: all workers together, or each side its own."""

    together: tuple[Stage, ...]
    sides: tuple[tuple[Stage, ...], tuple[Stage, ...]]

    def stages(self) -> tuple[Stage, ...]:
        """All of them."""
        return (*self.together, *self.sides[0], *self.sides[1])


def assign(targets: Iterable[Stage], missing: Iterable[Stage]) -> list[Wave]:
    """Waves of what is missing for a plan's targets, in order.

    Which workers perform a stage follows from all targets, whether they are there or not: it decides in which order
    sums are added up, and a plan that was interrupted has to end with the same bytes as one that was not.
    """
    left = set(missing)
    assigned = []
    for wave in waves(in_order(targets)):
        # Next to a training of both models an evaluation is nothing: one side would wait for the other.
        for joint in (False, True):
            part = [stage for stage in wave if stage.config.joint == joint]
            of_a, of_b = ([stage for stage in part if stage.side == side] for side in SIDES)
            sides = (of_a, of_b) if of_a and of_b else (part[::2], part[1::2])  # of one model, or of both: in turn
            parts = (part, [], []) if len(part) == 1 else ([], *sides)
            together, first, second = (tuple(stage for stage in some if stage in left) for some in parts)
            assigned.append(Wave(together, (first, second)))
    return [wave for wave in assigned if wave.stages()]


@dataclass(frozen=True)
class _Orders:
    machine: Machine
    worker_group: WorkerGroup
    waves: tuple[Wave, ...]
    lease_tokens: Mapping[str, Mapping[str, Any]]  # stage key -> token of its lease
    begun: Begun | None


@dataclass(eq=False)
class StageFailed(Exception):
    """A stage raised on a worker; what it was comes along, as the driver would not see it.

    Attributes:
        kind: Name of the error's class.
        text: What it said.
        stage: Name of the stage.
        node: Host name.
        side: Of the worker group, 0 or 1.
    """

    kind: str
    text: str
    stage: str
    node: str
    side: int

    def __str__(self) -> str:
        return f"{self.kind} in {self.stage} on {self.node}: {self.text}"


# What another run would not mend.
_ERRORS: dict[str, type[UserError]] = {
    error.__name__: error for error in (ConfigError, DataError, ModelError, StoreError, TrainingFailed)
}


class GroupRunner:
    """Performs stages by a worker group, as `Runner` does in one process. Ray has to be connected.

    Args:
        machine: Where data and store are, as the workers see them.
        worker_group: The workers.
        on_progress: Called with a stage, its steps done and its steps in all.
    """

    def __init__(self, machine: Machine, worker_group: WorkerGroup, on_progress: Progress | None = None) -> None:
        self.machine = replace(machine, threads=worker_group.cpus)
        self.worker_group = worker_group
        self.store = machine.open_store()
        self._on_progress = on_progress

    def perform(
        self,
        targets: Iterable[Stage],
        begun: Begun | None = None,
        done: Notice = lambda stage: None,
        lost: Callable[[str, int], object] = lambda text, side: None,
    ) -> list[Stage]:
        """Compute what is missing of the targets and of all they need.

        Args:
            targets: Stages that are to be there afterwards.
            begun: Called, on the worker, before a stage is computed, with the stage and the worker's side; it travels.
            done: Called when a stage is there that was computed for this.
            lost: Called when a run has ended before its time, though another one may mend it: with what Ray says, and
                the side of the worker that was lost.

        Returns:
            The stages that were computed for this call.

        Raises:
            UserError: If a stage cannot be computed, or workers are lost again and again. What was finished before
                stays in the store.
        """
        goals = list(targets)
        executed: list[Stage] = []
        in_vain = 0

        def finished(stage: Stage) -> None:
            executed.append(stage)
            done(stage)

        while missing := self.store.missing(goals):
            with self._leased(missing) as lease_tokens:
                mine = _doable([stage for stage in missing if stage.key in lease_tokens], missing)
                if not mine:
                    time.sleep(POLL_SECONDS)  # another process computes what is needed first
                    continue
                before = len(executed)
                orders = _Orders(self.machine, self.worker_group, tuple(assign(goals, mine)), lease_tokens, begun)
                error = self._run(orders, mine, finished)
            if error is not None:
                in_vain = 0 if len(executed) > before else in_vain + 1
                ray_private.free_leaked()
                _raise_if_final(error, in_vain)
                failures = _failures(error)  # a worker that was lost comes before those that raised because of that
                first = min(failures, key=lambda rank: (isinstance(failures[rank], StageFailed), rank), default=0)
                lost(str(failures.get(first, error)), int(first >= self.worker_group.workers // 2))
        return executed

    @contextmanager
    def _leased(self, stages: Sequence[Stage]) -> Iterator[dict[str, Mapping[str, Any]]]:
        """The lease tokens of those stages that nobody else computes."""
        with ExitStack() as stack:
            leases = {stage.key: stack.enter_context(self.store.lease(stage, wait=False)) for stage in stages}
            yield {key: lease.lease_token for key, lease in leases.items() if lease.held}

    def _run(self, orders: _Orders, left: list[Stage], done: Notice) -> Exception | None:
        """One Ray Train run, followed until it ends; what ended it before its time."""
        errors: list[Any] = []
        # In a thread: in the main thread Ray Train would take Ctrl-C for itself.
        train = threading.Thread(target=_train, args=(orders, errors), daemon=True)
        train.start()
        while train.is_alive():
            train.join(POLL_SECONDS)
            left = self._follow(left, done)
        left = self._follow(left, done, afresh=True)
        if left and not errors:
            raise TrainingFailed(f"a run of Ray Train ended without {', '.join(stage.name for stage in left)}")
        return errors[0] if errors else None

    def _follow(self, left: list[Stage], done: Notice, *, afresh: bool = False) -> list[Stage]:
        finished = [stage for stage in left if self.store.has(stage, files=True, afresh=afresh)]
        for stage in finished:
            done(stage)
        if self._on_progress is not None:
            mine = {stage.key: stage for stage in left}
            for lease in self.store.running():
                if lease.key in mine and lease.steps:
                    self._on_progress(mine[lease.key], lease.step, lease.steps)
        return [stage for stage in left if stage not in finished]


def _doable(mine: list[Stage], missing: list[Stage]) -> list[Stage]:
    """Those of my stages that need nothing that somebody else is still computing."""
    others = set(missing) - set(mine)
    doable: list[Stage] = []
    for stage in mine:
        if others.isdisjoint(stage.inputs.values()):
            doable.append(stage)
        else:
            others.add(stage)
    return doable


def side_of_error(error: BaseException) -> int:
    """The side of the worker group that an error comes from; 0 where there is no worker group."""
    return getattr(error, "side", 0)


def _failures(error: Exception) -> dict[int, BaseException]:
    """Rank -> what its worker raised, or why it does not answer."""
    return {rank: ray_private.cause_in_worker(e) for rank, e in getattr(error, "worker_failures", {}).items()}


def _raise_if_final(error: Exception, in_vain: int) -> None:
    """Raise what is wrong, unless another run may mend it."""
    stages = [failure for failure in _failures(error).values() if isinstance(failure, StageFailed)]
    for failure in stages:
        if failure.kind in _ERRORS:
            raise _at(_ERRORS[failure.kind](failure.text), failure)
    if "worker group startup timed out" in str(error):
        raise TrainingFailed(f"no room was found for the workers in {STARTS} attempts")
    # Where one worker is lost, the others may raise because they cannot reach it: that may be tried again.
    if in_vain > LOST_RUNS:
        if stages:
            raise _at(TrainingFailed(str(stages[0])), stages[0])
        text = " ".join(str(error).split())[:500]
        raise TrainingFailed(f"a worker group lost workers {in_vain} times in a row without progress: {text}")


def _at(error: UserError, where: StageFailed) -> UserError:
    error.add_note(f"in {where.stage} on {where.node}")
    vars(error)["side"] = where.side
    return error


def _train(orders: _Orders, errors: list[Any]) -> None:
    import ray.train
    from ray.train.torch import TorchConfig

    group, name = orders.worker_group, staging_name("train")
    folder = orders.machine.store / "staging"  # nothing stays there, but Ray Train needs a folder
    trainer = ray_private.trainer_without_cleaner()(
        _perform_waves,
        train_loop_config={"orders": orders},
        # The two sides have groups of their own, with NCCL where each worker has a whole GPU.
        torch_config=TorchConfig(backend="gloo", timeout_s=COLLECTIVE_SECONDS),
        scaling_config=ray.train.ScalingConfig(
            num_workers=group.workers, use_gpu=bool(group.gpus), resources_per_worker=group.resources
        ),
        run_config=ray.train.RunConfig(
            name=name,
            storage_path=str(folder),
            failure_config=ray.train.FailureConfig(max_failures=0, controller_failure_limit=STARTS),
            logging_config=ray.train.LoggingConfig(log_level="ERROR"),
        ),
    )
    try:
        trainer.fit()
    except Exception as error:  # of Ray Train, of Ray where the run's controller was lost; this is a thread's end
        errors.append(error)
    finally:
        shutil.rmtree(folder / name, ignore_errors=True)


# ---- on the workers ---------------------------------------------------------------------------------------------


def _perform_waves(config: Mapping[str, Any]) -> None:
    import ray.train
    import segmentation_models_pytorch  # noqa: F401 (takes seconds; with it the first stage of a run is like the others)
    from ray.train.torch import get_device

    orders: _Orders = config["orders"]
    rank = ray.train.get_context().get_world_rank()
    device = str(get_device()) if orders.worker_group.gpus else "cpu"
    limit_memory(orders.worker_group.gpus, device)
    runner = Runner(replace(orders.machine, device=device))
    runner.dataset(orders.waves[0].stages()[0].config.data)  # checked again by each process
    side, own, whole = _teams(rank, orders.worker_group)
    for wave in orders.waves:
        for stage in wave.together:
            _perform(runner, orders, stage, whole, 0)
        for stage in wave.sides[side]:
            _perform(runner, orders, stage, own, side)
        while not all(runner.store.has(stage, files=True) for stage in wave.stages()):
            time.sleep(BARRIER_SECONDS)


def _perform(runner: Runner, orders: _Orders, stage: Stage, team: Team, side: int) -> None:
    if not team.any(not runner.store.has(stage, files=True)):
        return  # after a worker was lost Ray Train may start the same orders again
    if orders.begun is not None and team.chief:
        orders.begun(stage, side)
    try:
        runner.compute(stage, runner.store.borrowed(orders.lease_tokens[stage.key]).beat, team)
        if team.chief and (left := runner.store.upload()):  # the others wait for it
            raise StoreError(f"the object store does not answer: {', '.join(left)} could not be uploaded")
    except Exception as error:
        text = " ".join(str(error).split())
        raise StageFailed(type(error).__name__, text, stage.name, platform.node(), side) from error


def limit_memory(gpus: float, device: str | None = None) -> None:
    """Keep this process to its part of a GPU: Ray hands out parts, but does not see to it that they suffice."""
    if 0 < gpus < 1:
        import torch

        torch.cuda.set_per_process_memory_fraction(gpus, device)


def _teams(rank: int, worker_group: WorkerGroup) -> tuple[int, Team, Team]:
    """Which side a worker belongs to, that side, and all workers."""
    import torch.distributed as dist

    timeout = timedelta(seconds=COLLECTIVE_SECONDS)

    def team(ranks: range) -> Team:
        control = group = dist.new_group(list(ranks), timeout=timeout, backend="gloo")
        if worker_group.gpus >= 1:  # NCCL wants a GPU for each worker
            group = dist.new_group(list(ranks), timeout=timeout, backend="nccl")
        return Team(rank - ranks.start, len(ranks), group, control)

    size, middle = worker_group.workers, worker_group.workers // 2
    # Every worker makes all groups, in the same order.
    sides, whole = [team(range(middle)), team(range(middle, size))], team(range(size))
    side = int(rank >= middle)
    return side, sides[side], whole
