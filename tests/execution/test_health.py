"""Real processes that stop, spin or wait, and the watchdog that ends them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dmt_ray.execution.health import Watchdog

# A pattern that takes the regular expression engine for ever, which never lets go of the interpreter.
SPIN = "import re; re.match('(a+)+b', 'a' * 64)"
BLOCK = "import threading; threading.Event().wait()"
WATCHED = """
import sys, time
from pathlib import Path
from dmt_ray.execution.health import Watchdog
with Watchdog({seconds}, "finetune-ab12", Path({reason!r})) as dog:
    dog._pause = 0
    dog.alive("step 310 of 400")
    print(dog._child.pid, flush=True)
    {then}
"""


class Watched:
    """A process under a watchdog, and the watchdog's own."""

    def __init__(self, folder: Path, seconds: float, then: str) -> None:
        self.reason = folder / "reason.txt"
        code = WATCHED.format(seconds=seconds, reason=str(self.reason), then=then)
        self.process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.dog = int(self.process.stdout.readline())

    def __enter__(self) -> "Watched":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def watch(tmp_path):
    made = []

    def start(seconds: float, then: str) -> Watched:
        made.append(Watched(tmp_path, seconds, then))
        return made[-1]

    yield start
    for one in made:
        one.__exit__()


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def ends(pid: int, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while not is_gone(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return is_gone(pid)


@pytest.mark.parametrize("then", [pytest.param(SPIN, id="spins in C code"), pytest.param(BLOCK, id="waits for ever")])
def test_a_process_that_hangs_is_ended_with_a_reason(watch, then):
    hanging = watch(0.5, then)
    assert hanging.process.wait(timeout=10) == -signal.SIGKILL
    assert hanging.reason.read_text() == "no progress for 0.5 s in finetune-ab12 step 310 of 400\n"
    assert ends(hanging.dog)


def test_a_process_that_is_stopped_is_ended(watch):
    stopped = watch(0.5, BLOCK)
    stopped.process.send_signal(signal.SIGSTOP)
    assert stopped.process.wait(timeout=10) == -signal.SIGKILL
    assert stopped.reason.exists()


def test_progress_keeps_a_process_alive(watch):
    # Four times as long as it may be silent.
    busy = watch(0.5, "[(time.sleep(0.05), dog.alive()) for _ in range(40)]")
    assert busy.process.wait(timeout=20) == 0
    assert not busy.reason.exists()


def test_the_watchdog_ends_with_its_process(watch):
    killed = watch(60, BLOCK)
    killed.process.kill()
    assert ends(killed.dog)
    ended = watch(60, "pass")
    assert ended.process.wait(timeout=20) == 0
    assert ends(ended.dog)


def test_the_watchdog_survives_ctrl_c_and_its_process_goes_on_without_it(watch):
    # Ctrl-C goes to the whole group of processes in the terminal; the watchdog has a session of its own.
    careful = watch(60, BLOCK)
    assert os.getsid(careful.dog) == careful.dog != os.getsid(careful.process.pid)
    bereft = watch(0.5, "import os; os.kill(dog._child.pid, 9); time.sleep(1); dog.alive('somewhere')")
    assert bereft.process.wait(timeout=20) == 0


def test_the_watchdog_inherits_nothing_and_is_small(tmp_path):
    with (tmp_path / "open").open("w") as file, Watchdog(60) as dog:
        os.set_inheritable(file.fileno(), True)
        time.sleep(0.3)
        assert sorted(os.listdir(f"/proc/{dog._child.pid}/fd")) == ["0", "1", "2"]
        memory = Path(f"/proc/{dog._child.pid}/smaps_rollup").read_text()
        own = sum(int(line.split()[1]) for line in memory.splitlines() if line.startswith("Private_"))
        assert own < 10_000  # kB
        pid = dog._child.pid
    assert is_gone(pid)


def test_an_old_reason_is_taken_away(tmp_path):
    reason = tmp_path / "reason.txt"
    reason.write_text("no progress for 1 s in something else\n")
    with Watchdog(60, reason=reason):
        assert not reason.exists()


def test_a_watchdog_without_a_time_is_refused():
    with pytest.raises(ValueError, match="above 0 s, but got 0"):
        Watchdog(0)
