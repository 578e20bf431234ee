"""Real processes that spin or wait, and the watchdog that ends them."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from dmt_ray.execution.health import Watchdog, take_reason

# A pattern that takes the regular expression engine for ever, which never lets go of the interpreter.
SPIN = "import re; re.match('(a+)+b', 'a' * 64)"
BLOCK = "import threading; threading.Event().wait()"
WATCHED = """
import sys, time
from pathlib import Path
from dmt_ray.execution.health import Watchdog
def hang():
    {then}
with Watchdog({seconds}, "finetune-ab12", Path({folder!r})) as dog:
    dog._pause = 0
    dog.alive("step 310 of 400")
    hang()
"""


def watched(folder: Path, seconds: float, then: str) -> tuple[int, float]:
    """Exit status of a process under a watchdog, and the seconds until it ended."""
    # As if it belonged to the package: the innermost line of the package is what is reported.
    (folder / "dmt_ray").mkdir()
    script = folder / "dmt_ray" / "script.py"
    script.write_text(WATCHED.format(seconds=seconds, folder=str(folder), then=then))
    began = time.monotonic()
    return subprocess.run([sys.executable, script], timeout=60, check=False).returncode, time.monotonic() - began


@pytest.mark.parametrize("then", [pytest.param(SPIN, id="spins in C code"), pytest.param(BLOCK, id="waits for ever")])
def test_a_process_that_hangs_is_ended_and_it_is_known_where_it_hung(tmp_path, then):
    status, _ = watched(tmp_path, 0.5, then)
    assert status == 1
    reason, stacks = take_reason(tmp_path)
    assert reason == "no progress for 0.5 s in finetune-ab12 step 310 of 400, in hang (script.py:6)"
    assert "in hang" in stacks
    assert take_reason(tmp_path) is None  # it counts once


def test_progress_keeps_a_process_alive_and_nothing_is_left_of_the_watchdog(tmp_path):
    # Four times as long as it may be silent.
    status, seconds = watched(tmp_path, 0.5, "[(time.sleep(0.05), dog.alive()) for _ in range(40)]")
    assert (status, seconds > 2) == (0, True)
    assert not list(tmp_path.glob("watchdog-*"))


def test_a_process_that_something_else_has_ended_has_no_reason(tmp_path):
    assert watched(tmp_path, 60, "import os; os._exit(9)")[0] == 9
    assert len(list(tmp_path.glob("watchdog-*"))) == 1
    assert take_reason(tmp_path) is None


def test_a_watchdog_without_a_time_is_refused(tmp_path):
    with pytest.raises(ValueError, match="above 0 s, but got 0"):
        Watchdog(0, "finetune-ab12", tmp_path)
