"""Every name of Ray and Optuna that they call private and this package uses: a new version may lose any of them.

`NAMES` is what Ray has to have; a test looks up each, tries what is used of Optuna, and says what a version has lost.
"""

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna

HEAD_NODE = "node:__internal_head__"  # a resource that the head node of a cluster has, and no other one

_ADDRESS = "ray._private.services:get_ray_address_from_environment"
_NODE_IDS = "ray._private.services:find_node_ids"
_CONNECT = "ray._private.state:GlobalState._connect_and_get_accessor"
_STATE = "ray._private.state:state"
_CLIENT = "ray._raylet:GcsClient"
_NODES = "ray._raylet:InnerGcsClient.get_all_node_info"  # what a GcsClient hands its calls to
_RELOAD = "ray._raylet:Config.initialize"
_TOKEN = "ray._raylet:AuthenticationTokenLoader.instance"
_GROUP = "ray.core.generated.gcs_pb2:PlacementGroupTableData"
_CALLBACKS = "ray.train.v2.api.data_parallel_trainer:DataParallelTrainer._create_default_callbacks"
_CLEANER = "ray.train.v2._internal.callbacks.placement_group_callback:PlacementGroupCleanerCallback"
_RAISED = "ray.train.v2._internal.exceptions:UserExceptionWithTraceback"
_UNHEALTHY = "ray.train.v2._internal.exceptions:WorkerHealthCheckFailedError"
_SIGTERM = "ray._private.utils:set_sigterm_handler"
NAMES = (
    *(_ADDRESS, _NODE_IDS, _CONNECT, _STATE, _CLIENT, _NODES, _RELOAD, _TOKEN, _GROUP),
    *(_CALLBACKS, _CLEANER, _RAISED, _UNHEALTHY, _SIGTERM),
)


def lookup(name: str) -> Any:
    """What a name of `NAMES`, "module:attribute.attribute", stands for.

    Raises:
        ImportError, AttributeError: If the installed version does not have it.
    """
    module, _, attributes = name.partition(":")
    value: Any = importlib.import_module(module)
    for attribute in attributes.split("."):
        value = getattr(value, attribute)
    return value


def address_of_this_machine() -> str:
    """The host:port of the cluster that runs on this machine, or that RAY_ADDRESS names.

    Raises:
        ConnectionError: If there is none.
    """
    return str(lookup(_ADDRESS)("auto", None))


def local_nodes() -> set[str]:
    """Ids of the nodes, of whatever cluster, that run on this machine."""
    return set(lookup(_NODE_IDS)())


def nodes_of(address: str, timeout: float) -> set[str]:
    """Ids of the nodes of the cluster at host:port, without joining it.

    The timeout is in seconds; where something listens that is no Ray, Ray itself waits 40 s.

    Raises:
        ray.exceptions.AuthenticationError: If the cluster wants another token than this process sends, or one at all.
        ray.exceptions.RpcError: If it does not answer.
    """
    return {node.hex() for node in lookup(_CLIENT)(address=address).get_all_node_info(timeout=timeout)}


def set_authentication(mode: str) -> None:
    """Send a token from now on ("token"), or none ("disabled"): Ray reads the variable only once by itself."""
    os.environ["RAY_AUTH_MODE"] = mode
    lookup(_RELOAD)("")
    lookup(_TOKEN)().reset_cache()


@contextmanager
def sigterm_left_to(take: Callable[[], None]) -> Iterator[None]:
    """In this block, whenever Ray's Python code would take SIGTERM to end this process at once, call this instead."""
    module, _, name = _SIGTERM.partition(":")
    place, before = importlib.import_module(module), lookup(_SIGTERM)
    setattr(place, name, lambda handler: take())
    try:
        yield
    finally:
        setattr(place, name, before)


def mute() -> None:
    """Keep what Ray's C++ code writes to stderr off the screen from now on; what Python writes still gets there.

    For a process that ends: its connections to a Ray that was given up break, which C++ would report as errors.
    """
    sys.stderr.flush()
    before = os.dup(2)
    with open(os.devnull, "w", encoding="utf-8") as nothing:
        os.dup2(nothing.fileno(), 2)
    sys.stderr = os.fdopen(before, "w", buffering=1, encoding="utf-8", errors="backslashreplace")


@contextmanager
def without_ray_log() -> Iterator[None]:
    """Keep what Ray's C++ code writes to stderr, by file descriptor, off the screen."""
    with open(os.devnull, "w", encoding="utf-8") as nothing, os.fdopen(os.dup(2), "w") as before:
        os.dup2(nothing.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(before.fileno(), 2)


def free_leaked() -> int:
    """Free the placement groups of Ray Train runs whose controller has died, and return their number.

    A run that is killed leaves its workers' placement group behind until the Ray job ends. Only groups that this job
    has made are looked at; Ray's public table does not tell who made a group.
    """
    import ray
    from ray.util.placement_group import PlacementGroup, remove_placement_group

    state, table = lookup(_STATE), lookup(_GROUP)
    state._connect_and_get_accessor()
    job = ray.get_runtime_context().get_job_id()
    freed = 0
    for group in map(table.FromString, state._global_state_accessor.get_placement_group_table()):
        # Tune's groups are made by the driver itself, which is no actor.
        of_actor = not ray.ActorID(group.creator_actor_id).is_nil()
        leaked = group.creator_job_id.hex() == job and of_actor and group.creator_actor_dead
        if leaked and group.state != table.REMOVED:
            with suppress(ValueError):
                remove_placement_group(PlacementGroup(ray.PlacementGroupID(group.placement_group_id)))
                freed += 1
    return freed


def trainer_without_cleaner() -> Any:
    """`TorchTrainer` without the actor that is to free placement groups.

    Where there is no dashboard that actor frees none, stays for ever, and costs 12 s at the end of each run;
    `free_leaked` does its work.
    """
    from ray.train.torch import TorchTrainer

    cleaner = lookup(_CLEANER)

    class Trainer(TorchTrainer):  # type: ignore[misc]  # Ray has no types
        def _create_default_callbacks(self) -> list[Any]:
            return [each for each in super()._create_default_callbacks() if not isinstance(each, cleaner)]

    return Trainer


def cause_in_worker(error: BaseException) -> BaseException:
    """What a worker of Ray Train raised, or why it does not answer, out of Ray Train's wrapping."""
    for attribute in ("_base_exc", "health_check_failure"):  # of _RAISED and _UNHEALTHY
        error = getattr(error, attribute, error)
    return error


def attempt_id(trial: "optuna.trial.FrozenTrial | optuna.trial.Trial") -> int:
    """Identifies a trial in its storage; a trial that is tried again has another one."""
    return trial._trial_id


def reopened(study: "optuna.Study", attempt: int) -> "optuna.trial.Trial":
    """A trial that an earlier process left running, to go on with; only `ask` hands out trials publicly."""
    import optuna

    return optuna.trial.Trial(study, attempt)


def frozen(study: "optuna.Study", attempt: int) -> "optuna.trial.FrozenTrial":
    """A trial as it is now; publicly all trials of the study would be read for it."""
    return study._storage.get_trial(attempt)
