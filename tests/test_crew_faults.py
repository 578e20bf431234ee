"""Sweeps whose trials have two workers each: what happens to them must not change a byte of what they find."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dmt_ray.search import faults
from dmt_ray.search.faults import Doing
from tests.sweeps import RunningSweep, started
from tests.test_faults import assert_as_if_nothing_had_happened, home, undisturbed, why, words  # noqa: F401 (fixtures)

RAY = Path(sys.executable).with_name("ray")


def crews(home: Path, *options: str) -> list[str | Path]:  # noqa: F811
    return [*words(home, "gamma.py", 3), "--workers", "2", *options]


def worker(sweep: RunningSweep, operation: str, seconds: float = 300) -> Doing:
    """What a worker says that it does, once it is in the middle of a stage of this operation."""
    while True:
        claim = sweep.at_work(operation, seconds=seconds)
        for note in (sweep.folder / "doing").glob("*.json"):
            with contextlib.suppress(OSError, ValueError):  # it is taken away, or written anew
                doing = Doing.from_json(json.loads(note.read_text()))
                if doing is not None and doing.stage == f"{claim.operation}-{claim.key}":
                    return doing


@pytest.mark.slow
def test_workers_of_a_crew_that_are_killed_or_hang_cost_the_stage_they_were_in(home, tmp_path, undisturbed):  # noqa: F811
    with started(tmp_path / "runs", *crews(home, "--stall-limit", "30")) as sweep:
        os.kill(worker(sweep, "pretrain").pid, signal.SIGKILL)
        killed = worker(sweep, "finetune")
        os.kill(killed.pid, signal.SIGKILL)
        while (hanging := worker(sweep, "finetune")).stage == killed.stage:
            time.sleep(0.02)
        os.kill(hanging.pid, signal.SIGSTOP)
        said = sweep.finish()
        assert sweep.process.returncode == 0, said
        assert_as_if_nothing_had_happened(sweep, undisturbed)
    assert [fault.kind for fault in faults.read(sweep.folder)] == ["lost"] * 3
    assert "No trial failed." in why(sweep)


@pytest.mark.slow
@pytest.mark.parametrize("signal_", [signal.SIGTERM, signal.SIGKILL])
def test_a_sweep_of_crews_whose_driver_ends_goes_on_when_it_is_started_again(home, tmp_path, undisturbed, signal_):  # noqa: F811
    with started(tmp_path / "runs", *crews(home)) as sweep:
        sweep.at_work("finetune")
        sweep.process.send_signal(signal_)
        said = sweep.finish(90)
        assert sweep.process.returncode == (130 if signal_ == signal.SIGTERM else -9), said
        gone = time.monotonic() + 30
        while sweep.processes() and time.monotonic() < gone:
            time.sleep(0.2)
        assert sweep.processes() == []
    with started(tmp_path / "runs", *crews(home)) as again:
        again.finish()
        assert_as_if_nothing_had_happened(again, undisturbed)


@pytest.fixture
def two_nodes(tmp_path_factory) -> Iterator[subprocess.Popen]:
    """A cluster of two nodes with two CPUs each on this machine; the process that holds the second one."""
    folder = tmp_path_factory.mktemp("ray")
    environment = os.environ | {"RAY_TMPDIR": str(folder), "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def node(*options: str) -> subprocess.Popen:
        command = [str(RAY), "start", "--block", "--num-cpus", "2", "--disable-usage-stats", *options]
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )

    head = node("--head", "--port", "7411", "--include-dashboard", "false", "--temp-dir", str(folder))
    time.sleep(8)
    second = node("--address", "127.0.0.1:7411")
    time.sleep(8)
    try:
        yield second
    finally:
        for one in (second, head):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(one.pid, signal.SIGKILL)
            one.wait()


@pytest.mark.slow
def test_a_node_that_is_lost_changes_nothing_in_what_a_sweep_finds(home, tmp_path, undisturbed, two_nodes):  # noqa: F811
    with started(tmp_path / "runs", *crews(home, "--address", "127.0.0.1:7411")) as sweep:
        sweep.at_work("finetune")
        os.killpg(two_nodes.pid, signal.SIGKILL)
        said = sweep.finish()
        assert sweep.process.returncode == 0, said
        assert_as_if_nothing_had_happened(sweep, undisturbed)
