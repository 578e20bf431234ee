"""A driver whose cluster loses its head says so, instead of being aborted by Ray."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dmt_ray.execution import head_watch
from dmt_ray.execution.head_watch import HeadWatch
from tests.helpers.paths import ROOT


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_watch, "LOOK_SECONDS", 0.05)


@pytest.fixture
def head() -> Iterator[socket.socket]:
    """Something that listens and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


Watched = tuple[HeadWatch, threading.Event]


@pytest.fixture
def watched(head: socket.socket) -> Iterator[Callable[[], Watched]]:
    """Begins a watch; the event says that it has found the head gone."""
    watches = []

    def begin() -> Watched:
        gone = threading.Event()
        watches.append(HeadWatch(f"127.0.0.1:{head.getsockname()[1]}", gone.set))
        return watches[-1], gone

    yield begin
    for watch in watches:
        watch.end()


def test_a_head_that_listens_no_more_is_gone(head, watched):
    _, gone = watched()
    assert not gone.wait(0.3)
    head.close()
    assert gone.wait(5)


def test_a_head_that_does_not_answer_is_not_gone(head, watched, monkeypatch):
    def silent(*_: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", silent)
    _, gone = watched()
    head.close()
    assert not gone.wait(0.5)


def test_one_refusal_is_not_enough(watched, monkeypatch):
    answers = iter([True, True, False] * 100)
    monkeypatch.setattr(HeadWatch, "_refuses", lambda _: next(answers))
    _, gone = watched()
    assert not gone.wait(0.5)


def test_a_watch_that_has_ended_says_nothing(head, watched):
    watch, gone = watched()
    watch.end()
    head.close()
    assert not gone.wait(0.5)


LEAVING = """
    import sys, types
    sys.modules["ray"] = types.SimpleNamespace(is_initialized=lambda: sys.argv[1] == "connected")
    from dmt_ray.execution import head_watch
    head_watch.leave("the Ray cluster at 10.0.0.1:6379")
    sys.exit(7)
"""


@pytest.mark.parametrize(("state", "status"), [("connected", 2), ("shut down", 7)])
def test_who_leaves_says_why_and_who_has_shut_down_ray_stays(tmp_path: Path, state: str, status: int) -> None:
    command = [sys.executable, "-c", textwrap.dedent(LEAVING), state]
    variables = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True)
    assert done.returncode == status
    assert ("error: the Ray cluster at 10.0.0.1:6379 is gone: its head was lost" in done.stderr) == (status == 2)


DRIVER = """
    from dmt_ray.execution import cluster
    cluster.connect(None, cpus=1)
    import time
    import psutil
    import ray

    task = ray.remote(lambda: time.sleep(600)).remote()
    mine = psutil.Process().children(recursive=True)
    print(next(process.pid for process in mine if process.name() == "gcs_server"), flush=True)
    while True:
        ray.wait([task], timeout=0.2)
"""


@pytest.mark.slow
def test_a_driver_says_that_its_cluster_is_gone(tmp_path: Path):
    command = [sys.executable, "-c", textwrap.dedent(DRIVER)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    variables = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=tmp_path, env=variables, text=True, **pipes) as driver:
        started = driver.stdout.readline()
        assert started, driver.communicate()[1]
        gcs = int(started)
        began = time.monotonic()
        os.kill(gcs, signal.SIGKILL)
        _, said = driver.communicate(timeout=60)
    assert driver.returncode == 2
    assert time.monotonic() - began < 30
    text = "the local Ray is gone: its head was lost, or stopped. All finished work is kept: run the same command again"
    assert said.strip().splitlines()[-1] == f"error: {text} to resume."
    assert "StackTrace" not in said
