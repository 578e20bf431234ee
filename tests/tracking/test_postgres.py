"""A real MLflow on a real PostgreSQL: written to directly, and through `mlflow server`."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from dmt_ray.config import Config
from dmt_ray.execution.runner import Machine, Runner
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.experiments.experiment_file import ExperimentFile
from dmt_ray.experiments.sweep import Sweep, Trial, Uniform
from dmt_ray.report.publishing import of_sweep
from dmt_ray.tracking import Publication, connect
from tests.helpers.mirrored import everything
from tests.helpers.paths import ROOT

psycopg = pytest.importorskip("psycopg")
INITDB = shutil.which("initdb") or next(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")), None)
PASSWORD = "not4anyone2see"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(INITDB is None, reason="PostgreSQL is not installed: there is no initdb"),
    *[pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("Deprecation", "Future", "Resource")],
    pytest.mark.filterwarnings("ignore:.*Any type hint:UserWarning"),  # of MLflow about its own model classes
]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_for(ready: Any, process: subprocess.Popen[Any], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            return ready()
        except OSError:
            assert process.poll() is None, "it has ended"
            assert time.monotonic() < end, "it does not answer"
            time.sleep(0.2)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A PostgreSQL of our own, as postgresql://USER:PASSWORD@127.0.0.1:PORT."""
    # It refuses to run as root, and nobody else can look into pytest's folders.
    user: dict[str, Any] = {"user": "nobody", "extra_groups": []} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="pg-") as place:
        if user:
            shutil.chown(place, "nobody")
        words, data = Path(place) / "password", Path(place) / "data"
        words.write_text(PASSWORD)
        words.chmod(0o644)
        options = ["--username=dmt", "--auth=scram-sha-256", f"--pwfile={words}", "--no-sync", "--encoding=UTF8"]
        subprocess.run([str(INITDB), f"--pgdata={data}", *options], cwd=place, check=True, capture_output=True, **user)
        port = free_port()
        command = [
            str(Path(str(INITDB)).resolve().with_name("postgres")),
            "-D",
            str(data),
            "-p",
            str(port),
            "-k",
            place,
        ]
        process = subprocess.Popen(
            [*command, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"],
            cwd=place,
            stderr=subprocess.DEVNULL,
            **user,
        )
        try:
            wait_for(lambda: _knock(port), process)
            yield f"postgresql://dmt:{PASSWORD}@127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGINT)  # PostgreSQL's "fast" shutdown
            process.wait(30)


def _knock(port: int) -> None:
    try:
        psycopg.connect(host="127.0.0.1", port=port, user="dmt", password=PASSWORD, dbname="postgres").close()
    except psycopg.OperationalError as error:
        raise ConnectionError from error


def new_database(server: str, name: str) -> str:
    connection = psycopg.connect(f"{server}/postgres")
    connection.autocommit = True
    connection.cursor().execute(f"CREATE DATABASE {name}")
    connection.close()
    return f"{server}/{name}"


@contextmanager
def mlflow_server(database: str, folder: Path) -> Iterator[str]:
    """`mlflow server` in front of a database; the URI goes through the environment, where `ps` does not show it."""
    folder.mkdir()
    port = free_port()
    environment = os.environ | {
        "MLFLOW_BACKEND_STORE_URI": database,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--artifacts-destination", str(folder / "artifacts")],
            env=environment,
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            wait_for(lambda: urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close(), process)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


@pytest.fixture(scope="module")
def results(module_machine: Machine, tiny: Config) -> Publication:
    """A sweep of two trials, really performed: one complete, one pruned after its first rung."""
    runner = Runner(module_machine)
    space = {"weight.gamma1": Uniform(0, 8), "weight.gamma2": Uniform(0, 8)}
    sweep = Sweep("gamma_sweep", "Which exponents are best?", runner.bind(tiny), "dmt", space, (0,))
    trials = []
    for number, rungs in enumerate((3, 2)):
        params = {"weight.gamma1": float(number), "weight.gamma2": 5.0}
        plan = sweep.plans(params)[0]
        done = runner.perform(stage for rung in plan.rungs[:rungs] for stage in rung.values())
        scores = {rung: 0.1 for rung in range(rungs)}
        state = "complete" if rungs == len(plan.rungs) else "pruned"
        trials.append(Trial(number, params, state, scores, None, tuple(stage.key for stage in done)))
    info = DatasetInfo.of(runner.dataset(sweep.config.data), sweep.config, sweep.seeds, "make sweep")
    file = ExperimentFile(sweep, Path("runs"), recipe="tiny", trials=2, dataset_info=info.to_json())
    return of_sweep(module_machine.store / "sweeps" / sweep.name, file, runner.store, "finished", trials)


def publish_and_look(uri: str, folder: Path, results: Publication, caplog: pytest.LogCaptureFixture) -> None:
    published = []
    for _ in range(2):
        tracker = connect(uri, folder)
        tracker.publish_soon(results)
        assert tracker.close(120) == ()
        published.append(everything(tracker.mirror, results.name))
    assert published[0] == published[1]
    assert len(published[0]) == 3

    mirror = tracker.mirror
    runs = {run.data.tags.get("trial", "parent"): run for run in mirror.find({"dmt.name": results.name})}
    assert {name: run.info.status for name, run in runs.items()} == {
        "parent": "FINISHED",
        "0": "FINISHED",
        "1": "FINISHED",
    }
    assert {runs[number].data.tags["mlflow.parentRunId"] for number in "01"} == {runs["parent"].info.run_id}
    assert runs["1"].data.params["weight.gamma1"] == "1.0"
    assert "score" in runs["0"].data.metrics
    assert len(mirror.client.get_metric_history(runs["0"].info.run_id, "loss/loss.A")) >= 3
    files = {file.path for file in mirror.client.list_artifacts(runs["0"].info.run_id)}
    assert {"config.yaml", "stages.json", "curves.png"} <= files
    fetched = Path(mirror.client.download_artifacts(runs["0"].info.run_id, "config.yaml", str(folder)))
    assert "gamma1: 0.0" in fetched.read_text()
    assert PASSWORD not in tracker.uri
    assert PASSWORD not in caplog.text


def test_a_sweep_is_published_straight_into_postgresql(server, tmp_path, results, caplog):
    publish_and_look(new_database(server, "straight"), tmp_path / "runs", results, caplog)
    assert secrets_in(tmp_path) == []


def test_a_sweep_is_published_through_a_server_on_postgresql(server, tmp_path, results, caplog):
    with mlflow_server(new_database(server, "served"), tmp_path / "server") as uri:
        publish_and_look(uri, tmp_path / "runs", results, caplog)
    assert any((tmp_path / "server" / "artifacts").rglob("config.yaml"))
    assert secrets_in(tmp_path) == []


def test_a_wrong_password_is_said_and_not_shown(server, tmp_path, results, caplog):
    uri = new_database(server, "closed").replace(PASSWORD, f"{PASSWORD}-and-more")
    tracker = connect(uri, tmp_path / "runs")
    tracker.publish_soon(results)
    assert tracker.close() == (results.name,)
    assert "password authentication failed" in caplog.text
    assert PASSWORD not in caplog.text


def run(command: str, uri: str, folder: Path, pictures: Path, tiny: Config, **environment: str) -> str:
    recipe = folder / "tiny.yaml"
    recipe.write_text(tiny.model_dump_json())  # JSON is YAML
    more = ["--storage", str(folder / "runs"), "--tracking-uri", uri]
    done = subprocess.run(
        [sys.executable, *command.split(), "--recipe", str(recipe), "--data", str(pictures), *more],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


COMMANDS = ["searches/gamma_sweep.py --trials 1", "-m dmt_ray.cli run --method baseline"]


@pytest.mark.parametrize("command", COMMANDS, ids=["sweep", "run"])
def test_a_command_keeps_the_password_to_itself(command, server, tmp_path, pictures, tiny):
    uri = new_database(server, f"command{COMMANDS.index(command)}")
    said = run(command, uri, tmp_path, pictures, tiny)
    assert PASSWORD not in said
    assert secrets_in(tmp_path) == []
    stored = [text for column in ("tags", "params") for text in _column(uri, f"SELECT value FROM {column}")]
    assert any("--method" in text for text in stored)  # the commands are there
    assert not [text for text in stored if PASSWORD in text]


def test_the_password_may_stay_in_the_environment(server, tmp_path, pictures, tiny):
    uri = new_database(server, "environment")
    run(COMMANDS[1], uri.replace(f":{PASSWORD}", ""), tmp_path, pictures, tiny, PGPASSWORD=PASSWORD)
    assert _column(uri, "SELECT name FROM runs") != []
    assert secrets_in(tmp_path) == []


def _column(uri: str, query: str) -> list[str]:
    connection = psycopg.connect(uri)
    cursor = connection.cursor()
    cursor.execute(query)
    found = [str(row[0]) for row in cursor.fetchall()]
    connection.close()
    return found


def secrets_in(folder: Path) -> list[str]:
    """Names of the files below a folder that hold the password."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [str(path) for path in files if PASSWORD.encode() in path.read_bytes()]
