"""Every private name of Ray and Optuna that is used: a version that has lost one fails here, by that name."""

import re
import signal
import subprocess
import sys

import optuna
import pytest

from dmt_ray.execution import ray_private
from tests.helpers.paths import ROOT

PRIVATE = re.compile(r"ray\._private|_raylet|ray\.core\.generated|\b_internal\.|optuna\._|\._(storage|trial_id)\b")


@pytest.mark.parametrize("name", [name for name in ray_private.NAMES if not name.startswith("optuna")])
def test_ray_still_has(name):
    assert ray_private.lookup(name) is not None


def test_errors_of_ray_train_still_hold_their_causes():
    cause = RuntimeError("the worker's own")
    raised = ray_private.lookup("ray.train.v2._internal.exceptions:UserExceptionWithTraceback")(cause, "its stack")
    unhealthy = ray_private.lookup("ray.train.v2._internal.exceptions:WorkerHealthCheckFailedError")("gone", cause)
    assert [ray_private.cause_in_worker(error) for error in (raised, unhealthy, cause)] == [cause] * 3


def test_optuna_still_has_trial_ids_and_a_storage_that_reads_one_trial():
    study = optuna.create_study()
    attempt = ray_private.attempt_id(study.ask())
    study.ask().suggest_float("x", 0, 1)
    reopened = ray_private.reopened(study, attempt)
    reopened.suggest_float("x", 2, 3)
    assert 2 <= ray_private.frozen(study, attempt).params["x"] <= 3
    assert ray_private.attempt_id(study.get_trials()[0]) == attempt


def test_no_other_module_uses_a_private_name():
    files = [*ROOT.glob("dmt_ray/**/*.py"), *ROOT.glob("benchmarks/*.py"), *ROOT.glob("tests/**/*.py")]
    own = {"ray_private.py", "test_ray_private.py"}
    assert not [file for file in files if file.name not in own and PRIVATE.search(file.read_text(encoding="utf-8"))]


def test_where_ray_would_take_sigterm_another_one_takes_it():
    handlers: list[str] = []
    before = signal.getsignal(signal.SIGTERM)
    with ray_private.sigterm_left_to(lambda: handlers.append("ours")):
        ray_private.lookup("ray._private.utils:set_sigterm_handler")(lambda *_: handlers.append("Ray's"))
    assert handlers == ["ours"]
    assert signal.getsignal(signal.SIGTERM) == before
    try:
        ray_private.lookup("ray._private.utils:set_sigterm_handler")(signal.SIG_IGN)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN  # as it was
    finally:
        signal.signal(signal.SIGTERM, before)


def test_at_the_end_of_a_process_only_what_python_writes_to_stderr_is_shown():
    code = (
        "import os, sys\nfrom dmt_ray.execution.ray_private import mute\n"
        "sys.stderr.write('first ')\nmute()\nos.write(2, b'noise')\nprint('sound', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == "first sound\n"


def test_what_is_written_to_stderr_below_python_can_be_kept_off_the_screen():
    code = (
        "import os\nfrom dmt_ray.execution.ray_private import without_ray_log\n"
        "with without_ray_log():\n    os.write(2, b'noise')\nos.write(2, b'sound')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == "sound"
