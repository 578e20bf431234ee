"""What is written down of a sweep: what workers do, why they were lost, and what earlier versions have written."""

import os

import pytest

from dmt_ray.execution import journal
from dmt_ray.execution.journal import Activity
from dmt_ray.methods import METHODS
from dmt_ray.plan import Stage
from dmt_ray.recipes import load

ENDED = (
    "The actor died unexpectedly before finishing this task. class_name: X actor_id: 1 The actor is dead because its "
    "worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker unexpectedly exits with a "
    "connection error code 2. End of file. Some common causes include: (1) the process was killed by the OOM killer"
)
NODE = "The actor died before finishing this task. The actor is dead because its node has died. Node Id: 12ab"


def a_stage() -> Stage:
    return METHODS["dmt"](load("shapes"), 3).rungs[1]["B"].inputs["model"]


def test_it_is_known_what_a_worker_does_until_it_has_ended(tmp_path):
    activity = Activity.of(a_stage(), rung=1)
    journal.begin(tmp_path, 7, activity)
    assert journal.last_activity(tmp_path, 7) == activity
    assert (activity.node, activity.pid, activity.seed) == (os.uname().nodename, os.getpid(), 3)
    assert str(activity) == f"{a_stage().name} (model B: {a_stage().config}; seed 3, rung 1)"
    assert journal.last_activity(tmp_path, 8) is None
    journal.end(tmp_path, 7)
    assert journal.last_activity(tmp_path, 7) is None
    assert list((tmp_path / "doing").iterdir()) == []


@pytest.mark.parametrize("operation", ["label", "finetune", "evaluate"])
def test_every_stage_is_about_a_model(operation):
    stages = METHODS["dmt"](load("shapes"), 0).stages()
    models = [Activity.of(stage, None).what.split(":")[0] for stage in stages if stage.operation.name == operation]
    assert set(models) == {"model A", "model B"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(ENDED, "Worker unexpectedly exits with a connection error code 2. End of file.", id="process"),
        pytest.param(NODE, "its node has died. Node Id: 12ab", id="node"),
        pytest.param("something\n\telse", "something else", id="other words"),
        pytest.param(
            "The worker died unexpectedly. Check python-core-worker-*.log files.",
            "The worker died unexpectedly.",
            id="task",
        ),
        pytest.param("", "Ray gives no reason", id="no words"),
    ],
)
def test_why_a_worker_was_lost_is_said_in_one_line(tmp_path, text, expected):
    assert journal.write_lost(tmp_path, tmp_path, 7, text).error == expected


STACKS = """\
no progress for 9 s in finetune-ab step 3 of 9
Timeout (0:00:09)!
Thread 0x00007f (most recent call first):
  File "/usr/lib/python3.11/threading.py", line 324 in wait
  File "/home/me/dmt_ray/engine/training.py", line 155 in step
"""


def test_a_watchdog_s_reason_counts_more_than_what_ray_says_and_only_once(tmp_path):
    activity = Activity.of(a_stage(), rung=1)
    journal.begin(tmp_path, 7, activity)
    scratch = tmp_path / "scratch" / activity.stage
    scratch.mkdir(parents=True)
    (scratch / "watchdog-12.txt").write_text(STACKS)
    (scratch / "watchdog-13.txt").write_text("no progress for 9 s in finetune-ab step 4 of 9\n")  # still at work
    fault = journal.write_lost(tmp_path, tmp_path, 7, NODE)
    assert fault.error == "no progress for 9 s in finetune-ab step 3 of 9, in step (engine/training.py:155)"
    assert fault.place == f" in {activity} on {activity.node}"
    assert "threading.py" in (tmp_path / "errors" / "7.txt").read_text()
    assert journal.write_lost(tmp_path, tmp_path, 7, NODE).error == "its node has died. Node Id: 12ab"
    assert [fault.kind for fault in journal.read_faults(tmp_path)] == ["lost", "lost"]


def test_faults_that_an_earlier_version_has_written_can_be_read(tmp_path):
    stage = '{"stage": "label-ab", "what": "model A: x", "seed": 0, "rung": null, "node": "n1", "pid": 5}'
    rest = '"error": "killed", "node": "n1", "when": "2026-01-01T00:00:00+00:00"}'
    (tmp_path / "faults.jsonl").write_text(
        f'{{"who": 3, "kind": "lost", "doing": {stage}, {rest}\n'
        f'{{"who": "label-ab", "kind": "failed", "doing": null, {rest}\n'
        '{"who": 4, "kind": "lo'  # torn by a crash
    )
    first, second = journal.read_faults(tmp_path)
    assert (first.member, first.kind, first.activity.describe("shared")) == (
        *(3, "lost"),
        "label-ab (model A: x; seed 0, shared)",
    )
    assert (second.member, second.kind, second.activity, second.error) == ("label-ab", "failed", None, "killed")
