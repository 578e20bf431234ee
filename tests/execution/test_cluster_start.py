"""Starting Ray on a machine that is too busy for it."""

import pytest
import ray

from dmt_ray.errors import UserError
from dmt_ray.execution import cluster

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
