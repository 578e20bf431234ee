"""SIGTERM while a stage runs."""

import signal
import subprocess
import sys
import threading

from dmt_ray.execution.interruption import answered, deferred
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


def test_ctrl_c_is_answered_at_once_while_the_main_thread_is_busy_elsewhere():
    code = (
        "import os, signal, time\n"
        "from dmt_ray.execution.interruption import answered\n"
        "signal.signal(signal.SIGINT, lambda *_: time.sleep(2))\n"  # somebody's handler, which takes a while
        "with answered():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('handled', flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.communicate(timeout=60)[0].splitlines() == [
        "",
        "stopping: all finished work is kept; press Ctrl-C again to stop at once",
        "handled",
    ]


def test_nothing_is_answered_without_ctrl_c_and_who_read_signals_before_reads_them_again(capsys):
    before = signal.set_wakeup_fd(-1)
    with answered():
        assert signal.set_wakeup_fd(-1) != -1
    assert signal.set_wakeup_fd(before) == -1
    assert capsys.readouterr().err == ""
