"""Starting Ray on a machine that is too busy for it."""

import atexit
import os
import signal

import pytest
import ray

from dmt_ray.errors import UserError
from dmt_ray.execution import cluster, ray_private
from dmt_ray.execution.interruption import TERMINATED

LATE = "The current node timed out during startup. This could happen because some of the raylet failed to startup"


def starts(monkeypatch: pytest.MonkeyPatch, errors: list[str]) -> list[str]:
    """Have the first starts of Ray fail in this way, and list what is done."""
    done: list[str] = []

    def init(**_: object) -> None:
        done.append("start")
        if errors:
            raise Exception(errors.pop(0))

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: done.append("shut down"))
    return done


def test_ray_is_started_again_where_it_took_too_long_and_each_wait_is_explained(monkeypatch, caplog):
    done = starts(monkeypatch, [LATE, LATE])
    cluster._start({})
    assert done == ["start", "shut down", "start", "shut down", "start"]
    assert [record.getMessage() for record in caplog.records] == [
        "Ray did not start within 30 s (attempt 1 of 4), trying again",
        "Ray did not start within 30 s (attempt 2 of 4), trying again",
    ]


def test_a_machine_that_is_too_busy_for_ray_is_a_plain_error(monkeypatch):
    done = starts(monkeypatch, [LATE] * 9)
    with pytest.raises(UserError, match="Ray did not start within 30 s, 4 times in a row"):
        cluster._start({})
    assert done.count("start") == 4


def test_another_failure_of_ray_is_not_hidden(monkeypatch):
    done = starts(monkeypatch, ["no space left"])
    with pytest.raises(Exception, match="no space left"):
        cluster._start({})
    assert done == ["start"]


@pytest.fixture
def own_signals(monkeypatch):
    """What is changed of this process's signals stays within a test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    TERMINATED.clear()


def test_sigterm_while_ray_starts_is_ctrl_c_and_what_c_says_of_it_at_the_end_stays_off_the_screen(
    monkeypatch, own_signals
):
    at_the_end: list[object] = []
    monkeypatch.setattr(atexit, "register", at_the_end.append)
    with pytest.raises(KeyboardInterrupt), cluster._interruptible():
        os.kill(os.getpid(), signal.SIGTERM)
    assert TERMINATED.is_set()
    assert at_the_end == [ray_private.mute]


def test_an_error_while_ray_starts_is_shown_with_all_that_ray_says_of_it(monkeypatch, own_signals):
    at_the_end: list[object] = []
    monkeypatch.setattr(atexit, "register", at_the_end.append)
    with pytest.raises(OSError, match="no space left"), cluster._interruptible():
        raise OSError("no space left")
    assert at_the_end == []
