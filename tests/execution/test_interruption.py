"""SIGTERM while a stage runs."""

import signal
import subprocess
import sys
import threading

from dmt_ray.execution.interruption import deferred
from tests.helpers.paths import ROOT


def test_the_first_sigterm_only_sets_a_flag_and_what_was_there_before_acts_after_the_block():
    code = (
        "import os, signal, sys\nfrom dmt_ray.execution.interruption import deferred\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('as before', flush=True))\n"
        "with deferred() as stop:\n"
        "    print(stop())\n    os.kill(os.getpid(), signal.SIGTERM)\n    print(stop())\n"
        "with deferred() as stop:\n    print(stop())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["False", "True", "as before", "False", ""]


def test_a_second_sigterm_acts_at_once():
    code = (
        "import os, signal\nfrom dmt_ray.execution.interruption import deferred\n"
        "with deferred():\n    os.kill(os.getpid(), signal.SIGTERM)\n    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('not reached', flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "")


def test_in_another_thread_nothing_is_deferred():
    before, flags = signal.getsignal(signal.SIGTERM), []

    def work() -> None:
        with deferred() as stop:
            flags.append((stop(), signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert flags == [(False, before)]
