"""Leases keep two processes from doing the same work, and show people its progress."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dmt_ray import recipes
from dmt_ray.plan import operations
from dmt_ray.store import Store, files, leases
from dmt_ray.store.clock import FileClock

CONFIG = recipes.named("shapes")
A = operations.pretrain(CONFIG, seed=0)
LABELS = operations.label(CONFIG, teacher=A, share=0.2)

PERFORMER = """
import sys, time
from pathlib import Path
from dmt_ray.plan import operations
from dmt_ray import recipes
from dmt_ray.store import Store
stage = operations.pretrain(recipes.named("shapes"), seed=0)
store = Store(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
with store.lease(stage) as lease:
    if lease.held:
        print("computes", flush=True)
        time.sleep(float(sys.argv[2]))
        with store.write(stage) as folder:
            (folder / "model.safetensors").write_bytes(b"weights")
    else:
        print("waited", flush=True)
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def performer(store: Store, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PERFORMER, str(store.folder), str(seconds)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


@pytest.fixture
def unwatched(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease that looks expired is not watched before it counts as expired."""
    monkeypatch.setattr(leases, "WATCH", 0.0)


def go(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("go\n")
    child.stdin.flush()


def age(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


def foreign_lease(store: Store, *, seconds_old: float, host: str = "elsewhere") -> Path:
    path = store.folder / "leases" / f"{A.key}.json"
    path.parent.mkdir(exist_ok=True)
    content = {"operation": "pretrain", "inputs": [], "host": host, "pid": 1, "started": 1.0, "beat": 1.0}
    path.write_text(json.dumps(content | {"step": 3, "steps": 9, "token": "0123456789abcdef"}))
    age(path, seconds_old)
    return path


def test_of_two_processes_one_computes_and_the_other_waits(store: Store) -> None:
    children = [performer(store, 0.7), performer(store, 0.7)]
    for child in children:
        go(child)
    assert sorted(child.communicate(timeout=20)[0] for child in children) == ["computes\n", "waited\n"]
    assert [child.returncode for child in children] == [0, 0]
    assert list((store.folder / "leases").iterdir()) == []


def test_the_stage_of_a_killed_process_is_taken_over_at_once(store: Store) -> None:
    first, second = performer(store, 60), performer(store, 0)
    go(first)
    assert first.stdout is not None
    assert first.stdout.readline() == "computes\n"
    go(second)
    time.sleep(0.2)
    assert second.poll() is None
    first.kill()
    first.communicate()
    begun = time.monotonic()
    assert second.communicate(timeout=20)[0] == "computes\n"
    assert time.monotonic() - begun < 5
    assert store.has(A)


@pytest.mark.usefixtures("unwatched")
def test_of_many_processes_one_takes_over_an_expired_lease(store: Store) -> None:
    for _ in range(20):
        foreign_lease(store, seconds_old=31)
        barrier, held = threading.Barrier(4), []

        def take_over(barrier: threading.Barrier = barrier, held: list[bool] = held) -> None:
            barrier.wait()
            with store.lease(A, wait=False) as lease:
                held.append(lease.held)
                barrier.wait()

        threads = [threading.Thread(target=take_over) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(held) == 1
        assert len(held) == 4
        with store.lease(A, wait=False) as lease:
            assert lease.held


def test_a_fresh_lease_of_another_host_is_respected(store: Store) -> None:
    foreign_lease(store, seconds_old=25)
    with store.lease(A, wait=False) as lease:
        assert not lease.held
        lease.beat(1, 2)
    (running,) = store.running()
    assert (running.key, running.operation, running.host, running.pid) == (A.key, "pretrain", "elsewhere", 1)
    assert (running.step, running.steps) == (3, 9)


@pytest.mark.usefixtures("unwatched")
@pytest.mark.parametrize("text", ["", "{", "[]", '{"token": "../../x"}'])
def test_a_broken_lease_expires_by_its_age(store: Store, text: str) -> None:
    path = foreign_lease(store, seconds_old=0)
    path.write_text(text)
    with store.lease(A, wait=False) as lease:
        assert not lease.held
    age(path, 31)
    with store.lease(A, wait=False) as lease:
        assert lease.held


def test_a_lease_that_cannot_be_read_counts_until_it_is_old(store: Store) -> None:
    path = foreign_lease(store, seconds_old=0)
    path.unlink()
    path.mkdir()  # root may read the files of all users, but no folder as a file
    with store.lease(A, wait=False) as lease:
        assert not lease.held


def test_a_stage_that_the_store_has_needs_no_lease(store: Store) -> None:
    with store.write(A) as folder:
        (folder / "model.safetensors").write_bytes(b"weights")
    with store.lease(A) as lease:
        assert not lease.held
    assert store.running() == []


def test_an_evicted_stage_can_be_leased(store: Store) -> None:
    with store.write(A) as folder:
        (folder / "model.safetensors").write_bytes(b"weights")
    store.gc(0)
    with store.lease(A) as lease:
        assert lease.held


def test_progress_is_written_at_most_once_a_second(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with store.lease(A) as lease:
        lease.beat(1, 100)
        lease.beat(2, 100)
        assert [(lease.step, lease.steps) for lease in store.running()] == [(1, 100)]
        monkeypatch.setattr(leases, "PROGRESS", 0.0)
        lease.beat(3, 100)
        assert [(lease.step, lease.pid, lease.host) for lease in store.running()] == [(3, os.getpid(), files.HOST)]
    assert store.running() == []


def test_a_long_step_does_not_look_dead(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "HEARTBEAT", 0.05)
    with store.lease(A):
        path = store.folder / "leases" / f"{A.key}.json"
        age(path, 100)
        time.sleep(0.3)
        assert time.time() - path.stat().st_mtime < 10
        assert len(store.running()) == 1


def test_a_lease_that_was_taken_over_is_left_alone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "PROGRESS", 0.0)
    with store.lease(A) as lease:
        foreign_lease(store, seconds_old=0)
        lease.beat(5, 9)
        assert [lease.host for lease in store.running()] == ["elsewhere"]
    assert [lease.host for lease in store.running()] == ["elsewhere"]


def test_inputs_of_a_running_stage_are_not_evicted(store: Store) -> None:
    with store.write(A) as folder:
        (folder / "model.safetensors").write_bytes(b"weights")
    with store.lease(LABELS):
        assert store.gc(0).evicted == ()
    assert store.gc(0).evicted == (f"{A.name}/model.safetensors",)


def test_another_process_reports_progress_in_a_borrowed_lease(store: Store) -> None:
    script = """
import json, sys
from pathlib import Path
from dmt_ray.store import Store
lease = Store(Path(sys.argv[1])).borrowed(json.loads(sys.argv[2]))
lease.beat(3, 9)
lease.beat(4, 9)
"""
    with store.lease(LABELS) as lease:
        command = [sys.executable, "-c", script, str(store.folder), json.dumps(lease.lease_token)]
        subprocess.run(command, check=True)
        (running,) = store.running()
        assert (running.step, running.steps) == (3, 9)  # written at most once a second
        assert (running.key, running.pid, running.inputs) == (LABELS.key, os.getpid(), (A.key,))
    assert store.running() == []


def test_a_borrowed_lease_reports_nothing_once_it_is_released_or_taken_over(store: Store) -> None:
    with store.lease(A) as lease:
        lease_token = lease.lease_token
    store.borrowed(lease_token).beat(1, 2)
    assert store.running() == []
    foreign_lease(store, seconds_old=0)
    store.borrowed(lease_token).beat(1, 2)
    assert [(lease.host, lease.step) for lease in store.running()] == [("elsewhere", 3)]


def test_the_token_of_a_lease_that_is_not_held_is_empty_and_reports_nothing(store: Store) -> None:
    foreign_lease(store, seconds_old=0)
    with store.lease(A, wait=False) as lease:
        assert lease.lease_token == {}
        store.borrowed(lease.lease_token).beat(1, 2)
    assert [lease.step for lease in store.running()] == [3]


@pytest.mark.parametrize("changes", [{"key": "../../x"}, {"token": "*"}, {"key": None}])
def test_a_malformed_token_is_refused(store: Store, changes: dict[str, object]) -> None:
    with store.lease(A) as lease, pytest.raises(ValueError, match="a lease token is the value of"):
        store.borrowed(lease.lease_token | changes)


@pytest.mark.usefixtures("unwatched")
def test_a_lease_whose_time_lies_ahead_ends_like_one_that_is_old(store):
    with store.lease(A) as lease:
        (path,) = (store.folder / "leases").glob("*.json")
        lease._closing.set()  # no sign of life from now on
        ahead = time.time() + 3600
        os.utime(path, (ahead, ahead))
        assert store.running() == []
        with store.lease(A, wait=False) as other:
            assert other.held


def an_hour_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that was written until now looks an hour old, as after the clock was set, or a night's sleep."""
    now = FileClock.now
    monkeypatch.setattr(FileClock, "now", lambda clock: now(clock) + 3600)


def test_after_a_jump_of_the_clock_the_lease_of_a_living_process_counts(store, monkeypatch, caplog):
    monkeypatch.setattr(leases, "POLL", 0.02)
    monkeypatch.setattr(leases, "HEARTBEAT", 0.05)
    monkeypatch.setattr(leases, "WATCH", 5.0)
    with store.write(A) as folder:
        (folder / "model.safetensors").write_bytes(b"weights")
    with store.lease(LABELS):
        an_hour_ahead(monkeypatch)
        began = time.monotonic()
        freed = Store(store.folder).gc(0)
        assert (freed.evicted, freed.removed) == ((), ())
        with Store(store.folder).lease(LABELS, wait=False) as other:
            assert not other.held
        assert time.monotonic() - began < 4  # a beat suffices: nobody waits for the five seconds to end
        assert [path.stem for path in (store.folder / "leases").iterdir()] == [LABELS.key]
    assert store.gc(0).evicted == (f"{A.name}/model.safetensors",)
    assert f"a lease of process {os.getpid()} on {files.HOST} looks expired: waiting 5 s to see" in caplog.text


def test_a_lease_that_looks_expired_is_watched_before_it_is_taken_over(store, monkeypatch):
    monkeypatch.setattr(leases, "POLL", 0.02)
    monkeypatch.setattr(leases, "WATCH", 0.3)
    foreign_lease(store, seconds_old=31)
    began = time.monotonic()
    with store.lease(A, wait=False) as lease:
        assert lease.held
    assert 0.3 <= time.monotonic() - began < 5


def test_who_has_waited_for_a_lease_since_before_it_looked_expired_need_not_watch_it(store, monkeypatch):
    monkeypatch.setattr(leases, "WATCH", 60.0)
    path = foreign_lease(store, seconds_old=0)
    with store.lease(A, wait=False) as lease:
        assert not lease.held
    steady = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: steady() + 61)
    an_hour_ahead(monkeypatch)
    began = steady()
    with store.lease(A, wait=False) as lease:
        assert lease.held
    assert steady() - began < 5
    assert not path.exists()


def test_waiting_says_whose_the_lease_is_and_since_when(store, caplog):
    with performer(store, 1.0) as child:
        go(child)
        assert child.stdout.readline() == "computes\n"
        with store.lease(A) as lease:
            assert not lease.held
    (said,) = [text for each in caplog.records if "waiting for" in (text := each.getMessage())]
    assert f"waiting for {A.name}, which process {child.pid} on {files.HOST} has computed since 20" in said
