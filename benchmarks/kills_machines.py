"""What faults strike: two Ray nodes, an MLflow server, an object store, and the driver, all on this machine.

Each is started in a session of its own, so that all its processes are known: no other process is ever touched.
"""

import os
import re
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from kills_programs import ROOT, Program
from kills_schedule import Event

from dmt_ray.files import sqlite_url

BUCKET = "bucket"
SIGNALS = {"killed": signal.SIGKILL, "terminated": signal.SIGTERM, "interrupted": signal.SIGINT}
READY = 300.0  # seconds in which a server answers
PATIENCE = (10.0, 20.0, 40.0, 60.0)  # seconds until the next start of what did not come up once, twice, ...
RAY_IS_UP = "Ray runtime started."
_WORKER = re.compile(r"ray::(?!IDLE|\w+Agent\b)")  # that performs something, by its title
_RAY_PORTS = range(10002, 20000)  # Ray keeps them for its workers


def free_port() -> int:
    """A port on which nothing listens."""
    while True:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        if port not in _RAY_PORTS:
            return port


def answers(port: int) -> bool:
    """Whether something listens on a port of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def agent_ports() -> list[str]:
    """Options that name the ports of a node's agents: a node gives up if it has to wait long until they choose some."""
    names = (
        "dashboard-agent-grpc-port",
        "dashboard-agent-listen-port",
        "metrics-export-port",
        "runtime-env-agent-port",
    )
    return [f"--{name}={free_port()}" for name in names]


def _sent(pid: int, what: signal.Signals) -> bool:
    """Send a signal; False if the process has ended meanwhile."""
    try:
        os.kill(pid, what)
    except ProcessLookupError:
        return False
    return True


def environment() -> dict[str, str]:
    """The environment of all processes: a token of this cluster's own, no settings of another one."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "MLFLOW_", "AWS_"))}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)  # every worker would compile torch anew
    return kept | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_agent_register_timeout_ms": "120000",  # a busy machine needs longer than Ray's 30 s
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": secrets.token_hex(8),
        "AWS_EC2_METADATA_DISABLED": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "OMP_NUM_THREADS": "1",
    }


class Machines:
    """All of them but the driver, as a context: it begins with everything up and ends with nothing left.

    Args:
        folder: What MLflow and the object store keep, and what all print.

    Attributes:
        options: Of a command that is to use them.
        tracking: The URI of MLflow.
        variables: The environment of the driver.
    """

    def __init__(self, folder: Path) -> None:
        self.variables = environment()
        self._temporary = Path(tempfile.mkdtemp(prefix="kills-"))  # Ray's sockets need a short path
        self._later: list[tuple[float, Callable[[], str]]] = []  # monotonic seconds, and what then ends a fault
        self._away: set[str] = set()  # what is to be started later
        self._failed = Counter[str]()  # starts in a row that came to nothing: each of them costs others their time
        ray, mlflow, bucket = (free_port() for _ in range(3))
        logs = folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        self.tracking = f"http://127.0.0.1:{mlflow}"
        python = sys.executable
        size = ["--num-cpus=1", "--object-store-memory=100000000", "--min-worker-port=0", "--max-worker-port=0"]
        size += ["--node-ip-address=127.0.0.1", "--include-log-monitor=false", "--block"]
        start = [python, "-m", "ray.scripts.scripts", "start", *size]
        head = ["--head", f"--port={ray}", "--include-dashboard=false", "--no-monitor"]
        artifacts, bucket_folder = str(folder / "artifacts"), str(folder / "bucket")
        keep = ["--backend-store-uri", sqlite_url(folder / "mlflow.db"), "--artifacts-destination", artifacts]
        serve = ["--host", "127.0.0.1", "--port", str(mlflow), "--workers", "1"]
        commands = {
            "head": [*start, *head, f"--temp-dir={self._temporary}/a", *agent_ports()],
            "node": [*start, f"--address=127.0.0.1:{ray}", f"--temp-dir={self._temporary}/b", *agent_ports()],
            "MLflow": [python, "-m", "mlflow", "server", *keep, *serve],
            "object store": [python, str(ROOT / "benchmarks" / "kills_bucket.py"), bucket_folder, str(bucket)],
        }
        self._ports = {"MLflow": mlflow, "object store": bucket}
        self.programs = {
            name: Program(words, logs / f"{name.replace(' ', '_')}.txt", self.variables)
            for name, words in commands.items()
        }
        self.url = f"s3://{BUCKET}/ours?endpoint_override=127.0.0.1:{bucket}&scheme=http"
        self.options = [
            *("--address", f"127.0.0.1:{ray}", "--shared-store", self.url),
            *("--tracking-uri", self.tracking),
        ]

    def __enter__(self) -> "Machines":
        try:
            for name in ("object store", "MLflow", "head"):
                self.programs[name].start()
            self._wait_for("head")
            self.programs["node"].start()
            for name in ("object store", "MLflow", "node"):
                self._wait_for(name)
            self._make_bucket()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for program in self.programs.values():
            program.kill()
        shutil.rmtree(self._temporary, ignore_errors=True)

    def _wait_for(self, name: str) -> None:
        end, program = time.monotonic() + READY, self.programs[name]
        while not (answers(self._ports[name]) if name in self._ports else program.has_said(RAY_IS_UP)):
            if time.monotonic() > end:
                raise SystemExit(f"{name} does not start: see {program.log}")
            if not program.alive:  # on a busy machine the 30 s that Ray waits for its own node may be too few
                program.kill()
                program.start()
            time.sleep(0.2)

    def _make_bucket(self) -> None:
        os.environ.update({name: value for name, value in self.variables.items() if name.startswith("AWS_")})
        from pyarrow import fs  # type: ignore[import-untyped]

        fs.FileSystem.from_uri(f"{self.url}&allow_bucket_creation=true")[0].create_dir(BUCKET)

    # ---- faults ----------------------------------------------------------------------------------------------------

    def strike(self, event: Event, driver: Program | None) -> str | None:
        """Let a fault strike; what was struck, for people, or None if there was nothing to be struck."""
        if event.target in ("driver", "worker"):
            return self._strike_one(event, driver)
        program = self.programs["node" if event.target == "raylet" else event.target]
        if not program.alive:
            return None
        if event.what == "paused":
            self._stop(program, event)
            return f"{len(program.processes())} processes"
        if event.target == "raylet":
            raylets = [pid for pid, words in program.processes().items() if "/raylet/raylet " in words]
            if not raylets:
                return None
            if not _sent(raylets[0], signal.SIGKILL):
                return None
            what = f"process {raylets[0]}"
        else:
            what = f"{len(program.processes())} processes"
            program.kill()
        name = "node" if event.target == "raylet" else event.target
        self._away.add(name)
        self._later.append((time.monotonic() + event.seconds, lambda: self._start_anew(name)))
        return what

    def _strike_one(self, event: Event, driver: Program | None) -> str | None:
        if event.target == "driver":
            pids = [driver.process.pid] if driver is not None and driver.process is not None and driver.alive else []
        else:
            found = {**self.programs["head"].processes(), **self.programs["node"].processes()}
            pids = [pid for pid, words in found.items() if _WORKER.match(words)]
        if not pids:
            return None
        pid = pids[int(event.draw * len(pids))]
        if not _sent(pid, signal.SIGSTOP if event.what == "paused" else SIGNALS[event.what]):
            return None
        if event.what == "paused":
            self._later.append((time.monotonic() + event.seconds, lambda: self._go_on(event.target, [pid])))
        return f"process {pid}"

    def _stop(self, program: Program, event: Event) -> None:
        program.send(signal.SIGSTOP)
        pids = list(program.processes())
        self._later.append((time.monotonic() + event.seconds, lambda: self._go_on(event.target, pids)))

    def _go_on(self, name: str, pids: Sequence[int]) -> str:
        gone = sum(not _sent(pid, signal.SIGCONT) for pid in pids)
        return f"{name} goes on{', but was killed meanwhile' if gone == len(pids) else ''}"

    def _start_anew(self, name: str) -> str:
        if name == "head":  # the other node belongs to the cluster that is gone
            self.programs["node"].kill()
        self.programs[name].kill()
        self.programs[name].start()
        self._away.discard(name)
        return f"{name} is started anew"

    def tend(self) -> list[str]:
        """End the faults that are over, and start what has ended by itself; what was done, for people."""
        done = []
        for entry in [entry for entry in self._later if entry[0] <= time.monotonic()]:
            self._later.remove(entry)
            done.append(entry[1]())
        for name, program in self.programs.items():
            if name in self._away or program.alive:
                continue
            if name == "node" and not self.has_cluster:
                continue
            done.append(self._start_again(name, program))
        return done

    def _start_again(self, name: str, program: Program) -> str:
        """Start what has ended by itself, later and later if it has not even come up."""
        if name in self._ports or program.has_said(RAY_IS_UP):
            self._failed[name] = 0
            status = program.status
            self._start_anew(name)
            return f"{name} had ended (status {status}) and is started anew"
        self._failed[name] += 1
        after = PATIENCE[min(self._failed[name], len(PATIENCE)) - 1]
        self._away.add(name)
        self._later.append((time.monotonic() + after, lambda: self._start_anew(name)))
        return f"{name} did not come up (status {program.status}) and is started anew in {after:g} s"

    @property
    def has_cluster(self) -> bool:
        """Whether there is a Ray that one could join."""
        return "head" not in self._away and self.programs["head"].has_said(RAY_IS_UP)

    @property
    def whole(self) -> bool:
        """Whether no fault goes on."""
        return not self._later and all(program.alive for program in self.programs.values())
