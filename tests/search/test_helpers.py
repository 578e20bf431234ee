"""Workers without a trial, on a real Ray: one that fails or is no longer needed costs the search nothing."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dmt_ray.execution import cluster, journal
from dmt_ray.execution.allocation import WorkerGroup
from dmt_ray.search.helping import Part

KEY = "0123456789abcdef0123"


class Given:
    """In place of `Helping`: what is to be given away, and which trials run."""

    def __init__(self) -> None:
        self.running, self.parts = {0, 1}, list[Part]()

    def give(self, workers: int) -> list[Part]:
        given, self.parts = self.parts[: max(0, workers)], self.parts[max(0, workers) :]
        return given


def helper(number: int, target: Any, job: Any) -> list[str]:
    """In place of `worker.help_out`: does what its target says."""
    (job.folder / f"{target}-{number}").write_text(str(os.getpid()))
    if target == "fails":
        raise ValueError("a reason")
    while target == "hangs":
        time.sleep(0.1)
    return [KEY]


@pytest.fixture
def ray_of_three() -> Iterator[None]:
    cluster.connect(None, cpus=3)
    yield
    cluster.disconnect()


def ended(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(") ")[2][0] == "Z"
    except OSError:
        return True


@pytest.mark.slow
@pytest.mark.usefixtures("ray_of_three")
def test_helpers_that_fail_or_are_not_needed_any_more_end(tmp_path, monkeypatch):
    from dmt_ray.search import tuning

    monkeypatch.setattr(tuning, "help_out", helper)
    monkeypatch.setattr(tuning, "HELP_SECONDS", 0.0)
    given, job = Given(), SimpleNamespace(folder=tmp_path, worker_group=WorkerGroup(1))
    given.parts = [Part(0, 1, target) for target in ("fails", "works", "hangs")] + [Part(1, 1, "hangs")]
    helpers = tuning.Helpers(job, given, 5)

    def tick_until(there: Any) -> None:
        end = time.monotonic() + 200
        while not there():
            assert time.monotonic() < end
            helpers.tick()
            time.sleep(0.1)

    tick_until(lambda: (tmp_path / "hangs-0").exists() and journal.executed(tmp_path, 0))
    assert journal.executed(tmp_path, 0) == (KEY,)
    tick_until(lambda: len(helpers._running) == 2)  # those that hang: there was room for the fourth part
    tick_until(lambda: (tmp_path / "hangs-1").read_text() if (tmp_path / "hangs-1").exists() else "")
    first, second = (int((tmp_path / f"hangs-{number}").read_text()) for number in (0, 1))
    given.running.remove(0)
    tick_until(lambda: ended(first))
    assert not ended(second)
    helpers.close()
    tick_until(lambda: ended(second))
