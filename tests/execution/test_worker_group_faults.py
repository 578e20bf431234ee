"""Sweeps whose trials have two workers each: what happens to them must not change a byte of what they find."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from dmt_ray.execution import journal
from dmt_ray.execution.journal import Activity
from tests.helpers.clusters import free_port
from tests.helpers.faults import assert_as_if_nothing_had_happened, why, words
from tests.helpers.sweeps import MARK, RunningSweep, described, kill_marked, started

RAY = Path(sys.executable).with_name("ray")


# Of a cluster after a sweep: what is free, and what became of everything that was set aside.
LEFT = """
import sys, time, ray
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="error")
end = time.monotonic() + 30
while ray.available_resources().get("CPU") != ray.cluster_resources()["CPU"] and time.monotonic() < end:
    time.sleep(0.2)
states = sorted({group["state"] for group in ray.util.placement_group_table().values()})
free, there = ray.available_resources().get("CPU"), ray.cluster_resources()["CPU"]
print(free, "of", there, "CPUs are free, placement groups:", states)
"""
READY = """
import sys, time, ray
while True:
    try:
        ray.init(address=sys.argv[1], log_to_driver=False, logging_level="critical")
        if ray.cluster_resources()["CPU"] == int(sys.argv[2]):
            break
    except Exception:
        pass
    ray.shutdown()
    time.sleep(1)
"""
ENVIRONMENT = os.environ | {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
ENVIRONMENT.pop("PYTHONDONTWRITEBYTECODE", None)


def worker_groups(home: Path, *options: str) -> list[str | Path]:
    return [*words(home, "gamma.py", 3), "--workers", "2", *options]


def worker(sweep: RunningSweep, operation: str, seconds: float = 300) -> Activity:
    """What a worker says that it does, once it is in the middle of a stage of this operation."""
    while True:
        lease = sweep.at_work(operation, seconds=seconds)
        for note in (sweep.folder / "doing").glob("*.json"):
            with contextlib.suppress(OSError, ValueError):  # it is taken away, or written anew
                activity = Activity.from_json(json.loads(note.read_text()))
                if activity is not None and activity.stage == f"{lease.operation}-{lease.key}":
                    return activity


@pytest.mark.slow
def test_workers_of_a_group_that_are_killed_or_hang_cost_the_stage_they_were_in(home, tmp_path, undisturbed, can_hang):
    with started(tmp_path / "runs", *worker_groups(home, "--stall-limit", "30")) as sweep:
        os.kill(worker(sweep, "pretrain").pid, signal.SIGKILL)
        killed = worker(sweep, "finetune")
        os.kill(killed.pid, signal.SIGKILL)
        while (hanging := worker(sweep, "finetune")).stage == killed.stage:
            time.sleep(0.02)
        os.kill(hanging.pid, signal.SIGUSR1)
        said = sweep.finish()
        assert sweep.process.returncode == 0, said
        assert_as_if_nothing_had_happened(sweep, undisturbed)
    assert [fault.kind for fault in journal.read_faults(sweep.folder)] == ["lost"] * 3
    assert "No trial failed." in why(sweep)


# Ray's two agents of a node try for a minute to tell a server that ended with it.
AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")


def left_of(sweep: RunningSweep, seconds: float, but: tuple[str, ...] = ()) -> list[str]:
    """The processes of a sweep that are there after so long, but for some."""
    end = time.monotonic() + seconds
    while left := [process for process in described(sweep.processes()) if not (but and process.endswith(but))]:
        if time.monotonic() > end:
            break
        time.sleep(0.2)
    return left


@pytest.mark.slow
@pytest.mark.parametrize("signal_", [signal.SIGTERM, signal.SIGKILL])
def test_a_sweep_of_groups_whose_driver_ends_goes_on_when_it_is_started_again(home, tmp_path, undisturbed, signal_):
    with started(tmp_path / "runs", *worker_groups(home)) as sweep:
        sweep.at_work("finetune")
        sweep.process.send_signal(signal_)
        said = sweep.finish(90)
        assert sweep.process.returncode == (143 if signal_ == signal.SIGTERM else -9), said
        assert left_of(sweep, 30, but=AGENTS) == []
        assert left_of(sweep, 60) == []
    with started(tmp_path / "runs", *worker_groups(home)) as again:
        again.finish()
        assert_as_if_nothing_had_happened(again, undisturbed)


@pytest.mark.slow
def test_trials_of_groups_that_fail_are_recorded_and_the_others_go_on(home, tmp_path):
    options = [*words(home, "rate.py", 4), "--workers", "2"]
    with started(tmp_path / "runs", *options) as sweep:
        said = sweep.finish()
        assert sweep.process.returncode == 1, said
        assert sweep.left_behind() == []
    states = {trial.params["finetune.learning_rate"]: trial.state for trial in sweep.trials()}
    assert states == {0.005: "complete", 10.0: "failed", 1e30: "failed", 0.01: "complete"}
    collapse, broken = (trial for trial in sweep.trials() if trial.state == "failed")
    assert collapse.error.startswith("model A collapsed: ")
    assert broken.error.startswith("the loss became NaN or infinite before step 5 of ")
    found = {fault.member: fault for fault in journal.read_faults(sweep.folder)}
    assert found[2].activity.stage.startswith("finetune-")
    assert found[2].activity.pid not in (0, sweep.process.pid)
    assert "trial 2 failed: learning_rate=1e+30" in why(sweep)


@pytest.mark.slow
def test_a_worker_of_a_group_that_is_sent_sigterm_ends_and_is_replaced(home, tmp_path, undisturbed):
    with started(tmp_path / "runs", *worker_groups(home)) as sweep:
        struck = worker(sweep, "finetune")
        os.kill(struck.pid, signal.SIGTERM)
        said = sweep.finish()
        assert sweep.process.returncode == 0, said
        assert_as_if_nothing_had_happened(sweep, undisturbed)
    (fault,) = journal.read_faults(sweep.folder)
    assert (fault.kind, fault.activity.stage) == ("lost", struck.stage)


@pytest.fixture
def cluster() -> Iterator[tuple[str, str]]:
    """The address of a cluster of two nodes with two CPUs each; the mark of the second one's processes."""
    address, folder = f"127.0.0.1:{free_port()}", tempfile.mkdtemp(prefix="ray-")  # short, for Ray's sockets
    marks = [uuid.uuid4().hex, uuid.uuid4().hex]
    head = ["--head", "--port", address.split(":")[1], "--include-dashboard", "false", "--temp-dir", folder]
    # With an address of its own: a driver joins the node that has its own address, and that is not to be lost here.
    second = ["--address", address, "--node-ip-address", "127.0.0.2"]
    nodes = []
    try:
        for mark, options in zip(marks, (head, second), strict=True):
            command = [str(RAY), "start", "--block", "--num-cpus", "2", *options]
            nodes.append(
                subprocess.Popen(
                    command, env=ENVIRONMENT | {MARK: mark}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
            )
            ready = [sys.executable, "-c", READY, address, str(2 * len(nodes))]
            subprocess.run(ready, env=ENVIRONMENT, check=True, timeout=120)
        yield address, marks[1]
    finally:
        for mark, node in zip(marks, nodes, strict=False):
            kill_marked(mark)
            node.wait()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_a_node_that_is_lost_changes_nothing_in_what_a_sweep_finds(home, tmp_path, undisturbed, cluster, monkeypatch):
    address, second_node = cluster
    monkeypatch.setenv("RAY_ADDRESS", address)  # other clusters may run on this machine
    with started(tmp_path / "runs", *worker_groups(home, "--address", "auto")) as sweep:
        sweep.at_work("finetune")
        kill_marked(second_node)
        said = sweep.finish()
        assert sweep.process.returncode == 0, said
        assert_as_if_nothing_had_happened(sweep, undisturbed)
    assert journal.read_faults(sweep.folder)[0].kind == "lost"
    look = [sys.executable, "-c", LEFT, address]
    left = subprocess.run(look, capture_output=True, text=True, env=ENVIRONMENT, check=True)
    assert left.stdout == "2.0 of 2.0 CPUs are free, placement groups: ['REMOVED']\n"
