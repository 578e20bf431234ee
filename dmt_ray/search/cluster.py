"""Getting hold of a Ray: a local one, or a cluster that is already running."""

import logging
import os
import signal
import socket
from pathlib import Path
from typing import Any

from dmt_ray.errors import UserError

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
WORKER_ENVIRONMENT = {"TUNE_FUNCTION_THREAD_TIMEOUT_S": "60", "OMP_NUM_THREADS": "1"}
PROBE_SECONDS = 3.0


def prepare() -> None:
    """Set the environment that Ray reads on import; call it before anything imports ray."""
    for name, value in (ENVIRONMENT | WORKER_ENVIRONMENT).items():
        os.environ.setdefault(name, value)
    # Without byte code every worker compiles torch anew, which takes longer than a small stage.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def stop_on_terminate() -> None:
    """Take SIGTERM, which batch systems send, as Ctrl-C."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))


def connect(address: str | None, *, cpus: int) -> dict[str, float]:
    """Start a local Ray, or join a cluster.

    Args:
        address: None: a local Ray of this process; "auto": the cluster that runs on this machine; "host:port":
            that one.
        cpus: Trials of one CPU that a local Ray has room for.

    Returns:
        The resources of the cluster, such as {"CPU": 8.0, "GPU": 1.0}.

    Raises:
        UserError: If an address was given and nothing answers there; a local Ray is never taken in its place.
    """
    prepare()
    # Ray finds a local cluster's token by itself, one at an explicit address only when it is told to look for it.
    if address is None or (Path.home() / ".ray" / "auth_token").exists():
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address is None:
        ray.init(address="local", include_dashboard=False, num_cpus=cpus, **quiet)
    else:
        _join(address, {**quiet, "runtime_env": {"env_vars": WORKER_ENVIRONMENT}})
    stop_on_terminate()  # Ray has put a handler of its own there, which aborts
    for name in ("ray", "ray.tune", "ray.train", "ray.air"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return {name: float(amount) for name, amount in ray.cluster_resources().items()}


def _join(address: str, settings: dict[str, Any]) -> None:
    import ray

    probe(address)
    try:
        ray.init(address=address, **settings)
    except ray.exceptions.AuthenticationError:
        raise UserError(
            f"the cluster at {address} wants a token: copy ~/.ray/auth_token from its head node, or set RAY_AUTH_TOKEN"
        ) from None
    except ConnectionError:
        where = "on this machine" if address == "auto" else f"at {address}"
        raise UserError(
            f"there is no Ray cluster {where} that accepts this client: start one with `ray start --head`, "
            "or leave --address out for a local Ray"
        ) from None


def probe(address: str) -> None:
    """Knock at an address, other than "auto", and say within seconds if nobody is there.

    Raises:
        UserError: If it is no address, or nothing listens there. Ray itself would go on trying for minutes.
    """
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise UserError(f"--address is auto or host:port, but got {address!r}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), PROBE_SECONDS).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"there is no Ray cluster at {address} ({reason}): start one with `ray start --head`, "
            "or leave --address out for a local Ray"
        ) from None


def disconnect() -> None:
    """Stop the local Ray, or leave the cluster."""
    import ray

    ray.shutdown()
