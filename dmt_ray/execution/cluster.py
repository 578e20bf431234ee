"""Connecting to a Ray: a local one, or a cluster that is already running; and the CPUs and GPUs of this machine."""

import atexit
import contextlib
import ctypes
import functools
import gc
import hashlib
import json
import logging
import os
import secrets
import signal
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dmt_ray.errors import UserError
from dmt_ray.execution import ray_private
from dmt_ray.execution.head_watch import HeadWatch, leave
from dmt_ray.execution.interruption import TERMINATED

log = logging.getLogger(__name__)

# Read by Ray and MLflow when they are imported, here and in their workers.
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_FORCE_TRIAL_CLEANUP_S": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
# With Tune's 2 s a trial that is stopped in the middle of a write would take the next trial with it.
WORKER_ENVIRONMENT = {
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "60",
    "OMP_NUM_THREADS": "1",
    # Ray Train looks after its workers so often; with its 2 s the end of every run takes seconds longer.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    # Nodes may be lost and come back, or another job may hold them.
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "300",
    # glibc gives memory back after each step and gets it zeroed for the next: with two processes that train at once
    # a step of `shapes` took 75 ms instead of 65.
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_TRIM_THRESHOLD_": "1073741824",
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
}
CONNECT_SECONDS = 3.0
START_ATTEMPTS = 4
NODE_SECONDS = 15.0  # a node that `ray start` has just made is known a moment after the cluster answers
CHECK_SECONDS = 120.0  # a machine may have to start a worker process, and to find the package on a slow file system
SHARED = ".shared-"  # begins the names of files that show whether a folder is shared
LONGEST_TEMPORARY = 38  # bytes: behind it come ray/session_2026-11-30_01-57-06_193154_4194304/sockets/plasma_store
SHORT_TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")
_watches: list[HeadWatch] = []  # of the Ray that this process is connected to
CGROUPS, PROCESS_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def cores() -> set[int]:
    """The CPU cores that this process may run on."""
    allowed = getattr(os, "sched_getaffinity", None)  # not on macOS
    return set(allowed(0)) if allowed is not None else set(range(os.cpu_count() or 1))


def cpus() -> int:
    """How many CPUs this process can keep busy: its cores, or fewer where a container has a quota; at least 1."""
    return max(1, int(min([float(len(cores())), *_quotas()])))


def gpus() -> int:
    """How many of NVIDIA's GPUs a Ray on this machine offers, as it counts them: those that the driver has, or fewer
    where the variable CUDA_VISIBLE_DEVICES hides some."""
    count = ctypes.c_uint(0)
    try:
        driver = ctypes.CDLL("libnvidia-ml.so.1")
        if driver.nvmlInit_v2() != 0:
            return 0
        driver.nvmlDeviceGetCount_v2(ctypes.byref(count))
        driver.nvmlShutdown()
    except (OSError, AttributeError):  # there is no driver
        return 0
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return count.value
    return min(count.value, len([name for name in visible.split(",") if name not in ("", "NoDevFiles")]))


def _quotas() -> Iterator[float]:
    """CPUs that control groups allow, for version 2 and version 1; of this process's group and those around it."""
    try:
        own = PROCESS_GROUPS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return  # not on Linux
    for line in own:
        _, controllers, path = line.split(":", 2)
        if not controllers or "cpu" in controllers.split(","):
            root = CGROUPS / "cpu" if controllers else CGROUPS
            files = ("cpu.cfs_quota_us", "cpu.cfs_period_us") if controllers else ("cpu.max",)
            for group in (Path(path), *Path(path).parents):
                with contextlib.suppress(OSError, ValueError):  # no quota: -1, or the word max
                    text = " ".join((root / group.relative_to("/") / file).read_text("utf-8") for file in files)
                    quota, period = map(float, text.split())
                    if quota > 0:
                        yield quota / period


def prepare() -> None:
    """Set the environment that Ray reads on import; call it before anything imports ray."""
    for name, value in (ENVIRONMENT | WORKER_ENVIRONMENT).items():
        os.environ.setdefault(name, value)
    # Without byte code every worker compiles torch anew, which takes longer than a small stage.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def stop_on_terminate() -> None:
    """Take SIGTERM, which batch systems send, as Ctrl-C."""
    signal.signal(signal.SIGTERM, _as_ctrl_c)


def _as_ctrl_c(*_: object) -> None:
    TERMINATED.set()
    # A shell script starts what it sends into the background with Ctrl-C ignored: SIGTERM would be lost, too.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.raise_signal(signal.SIGINT)


def connect(address: str | None, *, cpus: int) -> dict[str, float]:
    """Start a local Ray, or join a cluster.

    Args:
        address: None: a local Ray of this process; "auto": the cluster that runs on this machine, or that the
            variable RAY_ADDRESS names; "host:port": that one.
        cpus: Trials of one CPU that a local Ray has room for.

    Returns:
        The resources of the cluster, such as {"CPU": 8.0, "GPU": 1.0}.

    Raises:
        UserError: If an address was given and no cluster takes this process in; a local Ray is never taken instead. Or
            if the machine is too busy for a local one.
    """
    prepare()
    if address is None:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        if not _can_keep_token():
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        _shorten_paths()
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    with _interruptible():
        if address is None:
            _start({"include_dashboard": False, "num_cpus": cpus, **quiet})
        else:
            _join(address, {**quiet, "runtime_env": {"env_vars": _worker_environment()}})
    stop_on_terminate()  # Ray's C++ code has put a handler of its own there, which aborts
    head = ray.get_runtime_context().gcs_address
    where = "the local Ray" if address is None else f"the Ray cluster at {head}"
    _watches.append(HeadWatch(head, functools.partial(leave, where)))
    for name in ("ray", "ray.tune", "ray.train", "ray.air"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return {name: float(amount) for name, amount in ray.cluster_resources().items()}


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """While Ray starts, SIGTERM stops as Ctrl-C does; Ray would leave without a word. Neither ends in lines of C++."""
    stop_on_terminate()
    with ray_private.sigterm_left_to(stop_on_terminate):
        try:
            yield
        except KeyboardInterrupt:
            atexit.register(ray_private.mute)  # before what Ray has registered, which takes its processes down
            raise


def _start(settings: Mapping[str, Any]) -> None:
    """Start Ray on this machine. It gives up after 30 s, which a machine with a load of 15 takes, so it is tried again.

    Raises:
        UserError: If the machine is too busy for it.
    """
    import ray

    for attempt in range(1, START_ATTEMPTS + 1):
        try:
            ray.init(address="local", **settings)
            return
        except Exception as error:  # Ray has no class for this
            if "timed out during startup" not in str(error):
                raise
            ray.shutdown()
        if attempt < START_ATTEMPTS:
            log.warning("Ray did not start within 30 s (attempt %d of %d), trying again", attempt, START_ATTEMPTS)
    raise UserError(
        f"Ray did not start within 30 s, {START_ATTEMPTS} times in a row: this machine is too busy. Run the same "
        "command again when it has less to do, or start a Ray with `ray start --head` and pass its --address"
    )


def _can_keep_token() -> bool:
    """Whether there is a token, or Ray can write one to the home folder; else it needs one in a variable."""
    if _has_token():
        return True
    with contextlib.suppress(OSError, RuntimeError):
        folder = Path.home() / ".ray"
        folder.mkdir(parents=True, exist_ok=True)
        return os.access(folder, os.W_OK | os.X_OK)
    return False


def _shorten_paths() -> None:
    """Have Ray make its sockets in a short folder: the system allows 107 bytes for a socket's path."""
    folder = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    if len(os.fsencode(folder)) <= LONGEST_TEMPORARY:
        return
    for short in SHORT_TEMPORARY:
        if os.access(short, os.W_OK | os.X_OK):
            os.environ["RAY_TMPDIR"] = short
            log.warning("the path %s is too long for Ray's sockets: Ray's own files are in %s/ray", folder, short)
            return
    raise UserError(
        f"the path of temporary files, {folder}, is too long for Ray's sockets: set the variable RAY_TMPDIR to a "
        f"folder whose path has at most {LONGEST_TEMPORARY} bytes"
    )


def _has_token() -> bool:
    """Whether Ray would find a token."""
    named = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    with contextlib.suppress(OSError, RuntimeError):  # no home folder, or one that cannot be read
        return bool(named) or (Path.home() / ".ray" / "auth_token").exists()
    return bool(named)


def _worker_environment() -> dict[str, str]:
    """The workers' variables, less those that `ray job submit` was given: Ray refuses to set one twice.

    A worker inherits its node's variables, not those of this process: where the data are must be handed on.
    """
    variables = WORKER_ENVIRONMENT | {
        name: os.environ[name] for name in ("DMT_DATA", "DMT_MAX_PIXELS") if name in os.environ
    }
    job = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR") or "{}")
    given = (job.get("runtime_env") or {}).get("env_vars") or {}
    return {name: value for name, value in variables.items() if name not in given}


def _join(address: str, settings: dict[str, Any]) -> None:
    import ray

    where = "on this machine" if address == "auto" else f"at {address}"
    try:
        if address == "auto":
            # The file that Ray keeps the address in outlives a cluster that was killed.
            check_address(address := ray_private.address_of_this_machine())
        with ray_private.without_ray_log():
            _authenticate(address)
            _check_membership(address)
        ray.init(address=address, **settings)
    except ray.exceptions.AuthenticationError:
        raise UserError(f"the cluster {where} requires a token: {_token_advice()}") from None
    except (ConnectionError, ray.exceptions.RpcError):
        raise UserError(_nothing_at(where)) from None
    except RuntimeError as error:
        if "Version mismatch" not in str(error):
            raise
        text = f"the cluster {where} runs other versions than this machine: {' '.join(str(error).split())}"
        raise UserError(f"{text}. Install the same ones everywhere") from None


def _authenticate(address: str) -> None:
    """Send a token where the cluster wants one, and only there, unless the user has said what to do.

    Ray finds a local cluster's token by itself, one at an explicit address only when it is told to look for it. Where a
    cluster wants none it must not be shown one: the head could not check whether this process still lives, and would
    end every actor at once.
    """
    import ray

    if "RAY_AUTH_MODE" not in os.environ:
        ray_private.set_authentication("disabled")
        try:
            ray_private.nodes_of(address, CONNECT_SECONDS)
        except ray.exceptions.AuthenticationError:
            os.environ["RAY_AUTH_MODE"] = "token"
    if os.environ["RAY_AUTH_MODE"] == "token":
        if not _has_token():  # Ray would abort this process
            raise ray.exceptions.AuthenticationError("there is no token")
        ray_private.set_authentication("token")


def _check_membership(address: str) -> None:
    """Refuse a cluster that this machine is no node of: `ray.init` looks for 60 s, and tries a wrong token for 20 s."""
    end = time.monotonic() + NODE_SECONDS
    while not ray_private.nodes_of(address, CONNECT_SECONDS) & ray_private.local_nodes():
        if time.monotonic() > end:
            advice = f"make this machine one with `ray start --address={address}`, or use `ray job submit`"
            problem = f"this machine is not a node of the cluster at {address}"
            raise UserError(f"{problem}: start the command on one of its nodes, {advice}")
        time.sleep(0.2)


def _token_advice() -> str:
    mode = os.environ.get("RAY_AUTH_MODE", "token")
    if mode != "token":
        return f"RAY_AUTH_MODE is {mode!r} here, so no token is sent; unset it"
    have = "the one found here is a different one" if _has_token() else "there is none here"
    return f"{have}; copy ~/.ray/auth_token from its head node, or set RAY_AUTH_TOKEN"


def check_address(address: str) -> None:
    """Find out at once what Ray would find out in minutes.

    Raises:
        UserError: If an address, other than "auto", is none, or nothing listens there.
    """
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        syntax = "--address is auto or host:port, the port being that of `ray start --head --port`"
        raise UserError(f"{syntax}, but got {address!r}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UserError(_nothing_at(f"at {address}", getattr(error, "strerror", None) or str(error))) from None


def _nothing_at(where: str, reason: str = "") -> str:
    advice = "start one with `ray start --head`, or leave --address out for a local Ray"
    return f"there is no Ray cluster {where}{f' ({reason})' if reason else ''}: {advice}"


def check_nodes(storage: Path | None, data: Path | None) -> None:
    """See that every node of the cluster has this code, shares the storage folder, and has the data folder.

    Args:
        storage: Folder that all nodes share; a file is put there for a moment. None: nothing is shared.
        data: Folder that every node has under this path, shared or as a copy. None: not looked for.

    Raises:
        UserError: With every node that lacks something, and what. Nodes that join or are lost meanwhile do not count.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(num_cpus=0, max_retries=0)(look_around)
    with contextlib.ExitStack() as stack:
        paths = [] if data is None else [str(data)]
        if storage is not None:
            storage.mkdir(parents=True, exist_ok=True)
            # A new name: a folder of the same path that is another one cannot have it.
            paths.append(stack.enter_context(tempfile.NamedTemporaryFile(prefix=SHARED, dir=storage)).name)
        answers = {}
        for node in (node for node in ray.nodes() if node["Alive"]):
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            answers[task.options(scheduling_strategy=there).remote(paths)] = node
        ray.wait(list(answers), num_returns=len(answers), timeout=CHECK_SECONDS)
        lacks = {answer: _lacks(answer, storage, data) for answer in answers}
        alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}  # one that was lost meanwhile is no problem
        asked = [(answer, node["NodeManagerAddress"]) for answer, node in answers.items() if node["NodeID"] in alive]
        problems = [f"{address} {what}" for answer, address in asked for what in lacks[answer]]
    if problems:
        advice = "Install the same dmt_ray on all of them, and use folders that all of them have under the same path"
        raise UserError(f"not every node can take part: {'; '.join(problems)}. {advice}")


def _lacks(answer: Any, storage: Path | None, data: Path | None) -> list[str]:
    """What a node lacks, by its answer to `look_around`."""
    import ray

    try:
        code, seen = ray.get(answer, timeout=0)
    except ray.exceptions.GetTimeoutError:
        return [f"did not answer in {CHECK_SECONDS:g} s"]
    except Exception as error:  # whatever stands in the way there
        cause = getattr(error, "cause", None) or error
        reason = (str(cause).strip().splitlines() or [type(cause).__name__])[-1]  # the others are a traceback
        return [f"cannot run this program ({reason[:200]})"]
    lacks = [] if code == code_digest() else ["has another version of dmt_ray"]
    if data is not None and str(data) not in seen:
        lacks.append(f"has no folder {data}")
    if storage is not None and not any(Path(path).name.startswith(SHARED) for path in seen):
        lacks.append(f"does not share {storage}")
    return lacks


def look_around(paths: list[str]) -> tuple[str, list[str]]:
    """What a node has: the digest of this package, and those of the paths that exist."""
    return code_digest(), [path for path in paths if os.path.exists(path)]


def code_digest() -> str:
    """A digest of this package's source files."""
    root = Path(__file__).resolve().parents[1]
    files = (str(file.relative_to(root)).encode() + b"\0" + file.read_bytes() for file in sorted(root.rglob("*.py")))
    return hashlib.sha256(b"\0".join(files)).hexdigest()


def disconnect() -> None:
    """Stop the local Ray, or leave the cluster."""
    import ray

    while _watches:
        _watches.pop().end()
    # Handles that only the garbage collector frees must go while there is a Ray to tell: if that happens later, and in
    # another thread, Ray ends the process.
    gc.collect()
    ray.shutdown()


def nodes() -> list[dict[str, float]]:
    """The resources of every machine of the cluster that is alive."""
    import ray

    return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]
