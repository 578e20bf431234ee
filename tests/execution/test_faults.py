"""What happens to real sweeps when something goes wrong: the records must be those of an undisturbed one."""

import json
import os
import re
import signal
import time

import numpy as np
import pytest

from dmt_ray.execution import journal
from dmt_ray.methods import METHODS
from dmt_ray.plan import Plan, Stage
from dmt_ray.recipes import load
from dmt_ray.results.scores import collapsed
from dmt_ray.store import Store
from tests.helpers.faults import assert_as_if_nothing_had_happened, gammas, why, words
from tests.helpers.sweeps import started


@pytest.mark.slow
def test_workers_that_are_killed_or_hang_are_replaced(home, tmp_path, undisturbed, can_hang):
    # Longer than a busy machine may need for its first step.
    with started(tmp_path / "runs", *gammas(home), "--stall-limit", "30") as sweep:
        shared = sweep.at_work("pretrain")
        os.kill(shared.pid, signal.SIGKILL)
        killed = sweep.at_work("finetune")
        os.kill(killed.pid, signal.SIGKILL)
        hanging = sweep.at_work("finetune", but={killed.key})
        os.kill(hanging.pid, signal.SIGUSR1)
        sweep.finish()
        assert_as_if_nothing_had_happened(sweep, undisturbed)
    found = {fault.activity.stage: fault for fault in journal.read_faults(sweep.folder)}
    assert {fault.kind for fault in found.values()} == {"lost"}
    assert set(found) == {f"{lease.operation}-{lease.key}" for lease in (shared, killed, hanging)}
    assert {fault.activity.pid for fault in found.values()} == {shared.pid, killed.pid, hanging.pid}
    assert {fault.node for fault in found.values()} == {os.uname().nodename}
    assert found[f"pretrain-{shared.key}"].member == f"pretrain-{shared.key}"
    assert found[f"finetune-{hanging.key}"].error.startswith(f"no progress for 30 s in finetune-{hanging.key} ")
    said = why(sweep)
    assert said.count("a worker was lost at") == 3
    assert said.endswith("No trial failed.")


@pytest.mark.slow
def test_a_trial_whose_workers_are_always_killed_fails_and_the_others_do_not(home, tmp_path, undisturbed):
    with started(tmp_path / "runs", *gammas(home)) as sweep:
        struck = sweep.at_work("finetune")
        killed: set[int] = set()
        while len(killed) < 3:
            pids = {lease.pid for lease in sweep.store.running() if lease.key == struck.key and lease.step}
            for pid in pids - killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
            assert sweep.process.poll() is None
            time.sleep(0.02)
        said = sweep.finish()
        assert sweep.process.returncode == 1, said
        (failed,) = [trial for trial in sweep.trials() if trial.state == "failed"]
        assert f"its worker was lost in finetune-{struck.key} (model" in failed.error
        assert [trial.state for trial in sweep.trials()].count("complete") == 2
        assert [fault.kind for fault in journal.read_faults(sweep.folder)] == ["lost", "lost", "lost", "failed"]
        explained = why(sweep)
        assert f"trial {failed.number} failed: gamma1=" in explained
        assert f"stage finetune-{struck.key} (model" in explained
        assert sweep.left_behind() == []
    # The same command tries it once more.
    with started(tmp_path / "runs", *gammas(home)) as again:
        again.finish()
        assert_as_if_nothing_had_happened(again, undisturbed)


@pytest.mark.slow
def test_trials_that_fail_are_recorded_and_the_others_go_on(home, tmp_path):
    with started(tmp_path / "runs", *words(home, "rate.py", 4)) as sweep:
        said = sweep.finish()
        assert sweep.process.returncode == 1, said
        assert "Traceback" not in said
        assert sweep.left_behind() == []
    states = {trial.params["finetune.learning_rate"]: trial.state for trial in sweep.trials()}
    assert states == {0.005: "complete", 10.0: "failed", 1e30: "failed", 0.01: "complete"}
    collapse, broken = (trial for trial in sweep.trials() if trial.state == "failed")
    assert re.fullmatch(r"model [AB] collapsed: .* at rung 1, but was \d+\.\d\d% before any .*", collapse.error)
    assert broken.error.startswith("the loss became NaN or infinite before step 5 of ")
    found = {fault.member: fault for fault in journal.read_faults(sweep.folder)}
    assert {member: fault.kind for member, fault in found.items()} == {1: "failed", 2: "failed"}
    assert found[1].activity.stage.startswith("evaluate-")
    assert found[2].activity.stage.startswith("finetune-")
    assert found[2].node == found[2].activity.node == os.uname().nodename
    assert (sweep.folder / "errors" / "2.txt").read_text().startswith("Traceback")
    explained = why(sweep)
    for expected in (
        "trial 1 failed: learning_rate=10 error model A collapsed",
        "error the loss became NaN or infinite before",
    ):
        assert expected in explained


@pytest.mark.slow
def test_a_sweep_that_is_terminated_goes_on_when_it_is_started_again(home, tmp_path, undisturbed):
    with started(tmp_path / "runs", *gammas(home)) as sweep:
        sweep.at_work("finetune")
        sweep.process.send_signal(signal.SIGTERM)
        said = sweep.finish(60)
        assert sweep.process.returncode == 143, said
        assert "run the same command again to resume" in said
        assert sweep.left_behind() == []
        assert journal.read_faults(sweep.folder) == []
    with started(tmp_path / "runs", *gammas(home)) as again:
        again.finish()
        assert_as_if_nothing_had_happened(again, undisturbed)


@pytest.mark.slow
def test_a_worker_that_is_sent_sigterm_ends_and_is_replaced(home, tmp_path, undisturbed):
    with started(tmp_path / "runs", *gammas(home)) as sweep:
        struck = sweep.at_work("finetune")
        os.kill(struck.pid, signal.SIGTERM)
        sweep.finish()
        assert_as_if_nothing_had_happened(sweep, undisturbed)
    (fault,) = journal.read_faults(sweep.folder)
    assert (fault.kind, fault.activity.stage) == ("lost", f"finetune-{struck.key}")


@pytest.mark.slow
def test_a_run_that_is_told_to_end_goes_on_from_there(home, tmp_path, undisturbed):
    words = ["-m", "dmt_ray.cli", "run", "--recipe", home / "recipe.yaml", "--data", home / "data", "--threads", "1"]
    with started(tmp_path / "runs", *words) as run:
        struck = run.at_work("finetune")
        run.process.send_signal(signal.SIGTERM)
        said = run.finish(60)
        assert run.process.returncode == 143, said
        assert re.search(r"Stopped: the training was at step \d+ of \d+ and will resume from there", said)
    assert (tmp_path / "runs" / "scratch" / f"finetune-{struck.key}" / "checkpoint.safetensors").exists()
    with started(tmp_path / "runs", *words) as again:
        assert again.finish().count("stages computed") == 1
        assert again.process.returncode == 0
        # The sweep's first trial is the recipe as it is.
        assert again.digests().items() <= undisturbed.digests().items()
        assert len(again.digests()) == 10


# ---- collapse ---------------------------------------------------------------------------------------------------


def a_plan(store: Store, method: str, *matrices: list[list[int]]) -> Plan:
    """A plan whose rungs have scored so: the same confusion matrix for all models of a rung."""
    plan = METHODS[method](load("shapes", ["percentiles=[0.5,1.0]"]), 0)
    for rung, matrix in zip(plan.rungs, matrices, strict=False):
        for evaluation in rung.values():
            scored(store, evaluation, matrix)
    return plan


def scored(store: Store, evaluation: Stage, matrix: list[list[int]]) -> None:
    confusion = np.array(matrix)
    hits = confusion.diagonal()
    miou = float(np.mean(hits / (confusion.sum(0) + confusion.sum(1) - hits)))
    scores = {"miou": miou, "confusion": matrix}
    with store.write(evaluation) as out:
        # The test images would say the opposite.
        (out / "metrics.json").write_text(json.dumps({"selection": scores, "reported": {"miou": 1 - miou}}))


GOOD = [[50, 0, 0], [0, 25, 0], [0, 0, 25]]  # mIoU 1; "everywhere the commonest class" has 0.5 / 3 = 0.167
FAIR = [[50, 0, 0], [25, 0, 0], [0, 0, 25]]  # (50/75 + 0 + 1) / 3 = 0.556
COMMONEST = [[50, 0, 0], [25, 0, 0], [25, 0, 0]]  # 0.167
RAREST = [[0, 50, 0], [0, 25, 0], [0, 25, 0]]  # 0.25 / 3 = 0.083
WEAK = [[50, 0, 0], [25, 0, 0], [10, 0, 15]]  # (50/85 + 0 + 0.6) / 3 = 0.396
POOR = [[45, 5, 0], [20, 5, 0], [25, 0, 0]]  # (45/95 + 5/30 + 0) / 3 = 0.213: less than twice 0.167


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(GOOD, FAIR, False, id="more than side is left"),
        pytest.param(GOOD, COMMONEST, True, id="only the commonest class is left"),
        pytest.param(WEAK, COMMONEST, True, id="a weak model that loses what it knew"),
        pytest.param(COMMONEST, COMMONEST, False, id="there was nothing to lose"),
        pytest.param(COMMONEST, RAREST, False, id="knowing nothing in another way"),
        pytest.param(POOR, RAREST, False, id="next to nothing to lose"),
    ],
)
def test_a_collapse_is_told_from_a_model_that_never_knew_anything(tmp_path, before, after, expected):
    store = Store(tmp_path)
    plan = a_plan(store, "dmt", GOOD if before is GOOD else before, after)
    assert bool(collapsed(store, plan, 1)) == expected


def test_a_collapse_is_said_of_the_model_that_it_befell(tmp_path):
    store = Store(tmp_path)
    plan = a_plan(store, "dmt", GOOD, FAIR)
    scored(store, plan.rungs[2]["A"], FAIR)
    scored(store, plan.rungs[2]["B"], COMMONEST)
    sentence = "model B collapsed: its validation mIoU is 16.67% at rung 2, but was 100.00% before any pseudo label"
    assert [collapsed(store, plan, rung) for rung in range(3)] == [{}, {}, {"B": sentence}]


def test_without_a_state_before_pseudo_labels_nothing_is_said(tmp_path):
    store = Store(tmp_path)
    plan = Plan(a_plan(store, "dmt", GOOD, GOOD, COMMONEST).rungs[1:])
    assert collapsed(store, plan, 1) == {}
