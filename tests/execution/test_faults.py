"""What happens to real sweeps when something goes wrong: the records must be those of an undisturbed one."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dmt_ray.execution import journal
from dmt_ray.execution.journal import Doing
from dmt_ray.methods import METHODS
from dmt_ray.plan import Plan, Stage
from dmt_ray.recipes import load
from dmt_ray.results.scores import collapsed
from dmt_ray.store import Store
from tests.helpers.sweeps import RunningSweep, started

COLOURS = np.array([[40, 40, 40], [200, 60, 60], [60, 200, 60], [60, 60, 200]])
# Fine-tunings of a second or two: long enough to be struck in the middle.
RECIPE = """
recipe: folder
data: {classes: [ground, red, green, blue]}
split: {labelled: 8, selection: 0.2}
model: {encoder: tu-test_resnet, arguments: {encoder_depth: 4, decoder_channels: [64, 48, 32, 16]}}
pretrain: {epochs: 30, batch: [4, 0], augment: {crop: [32, 32]}}
finetune: {epochs: 30, batch: [2, 6], augment: {crop: [32, 32]}}
online: {augment: {crop: [32, 32]}}
oracle: {augment: {crop: [32, 32]}}
percentiles: [1.0]
"""
# All points are known, so that every sweep tries the same ones.
SCRIPT = """
import sys
from dmt_ray.cli.sweep import search
from dmt_ray.experiments.sweep import Uniform
setting, known = {setting!r}, {known!r}
if __name__ == "__main__":
    sys.exit(search("", question="faults", title="?", method="dmt",
                    space={{setting: Uniform(0.001, 1e30)}}, known=[{{setting: value}} for value in known]))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Thirty pictures with three coloured squares, a recipe, and two scripts."""
    folder, random = tmp_path_factory.mktemp("faults"), np.random.default_rng(0)
    for place in ("images", "masks"):
        (folder / "data" / place).mkdir(parents=True)
    for number in range(30):
        mask = np.zeros((32, 32), np.uint8)
        for colour in (1, 2, 3):
            top, left = random.integers(0, 18, 2)
            mask[top : top + 14, left : left + 14] = colour
        image = COLOURS[mask] + random.integers(-30, 30, (32, 32, 3))
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / "data" / "images" / f"{number:02}.png")
        Image.fromarray(mask).save(folder / "data" / "masks" / f"{number:02}.png")
    (folder / "recipe.yaml").write_text(RECIPE)
    # The recipe's own gamma is 5, its learning rate 0.005.
    (folder / "gamma.py").write_text(SCRIPT.format(setting="weight.gamma1", known=[3.0, 1.0]))
    (folder / "rate.py").write_text(SCRIPT.format(setting="finetune.learning_rate", known=[10.0, 1e30, 0.01]))
    return folder


def words(home: Path, script: str, trials: int) -> list[str | Path]:
    options = ["--trials", str(trials), "--max-concurrent", "2"]
    return [home / script, "--recipe", home / "recipe.yaml", "--data", home / "data", *options]


def gammas(home: Path) -> list[str | Path]:
    return words(home, "gamma.py", 3)


@pytest.fixture(scope="module")
def undisturbed(home) -> RunningSweep:
    """The sweep over gamma as it should be."""
    with started(home / "undisturbed", *gammas(home)) as sweep:
        said = sweep.finish()
    assert sweep.process.returncode == 0, said
    return sweep


def assert_as_if_nothing_had_happened(sweep: RunningSweep, undisturbed: RunningSweep) -> None:
    assert sweep.process.returncode == 0
    pd.testing.assert_frame_equal(sweep.scores(), undisturbed.scores(), check_exact=True)
    assert sweep.digests() == undisturbed.digests()
    assert set(sweep.digests()) == sweep.needed()
    assert sweep.left_behind() == []


def why(sweep: RunningSweep) -> str:
    command = [sys.executable, "-m", "dmt_ray.cli", "why", sweep.folder.name, "--storage", str(sweep.storage)]
    return " ".join(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.slow
def test_workers_that_are_killed_or_hang_are_replaced(home, tmp_path, undisturbed):
    # Longer than a busy machine may need for its first step.
    with started(tmp_path / "runs", *gammas(home), "--stall-limit", "30") as sweep:
        shared = sweep.at_work("pretrain")
        os.kill(shared.pid, signal.SIGKILL)
        killed = sweep.at_work("finetune")
        os.kill(killed.pid, signal.SIGKILL)
        hanging = sweep.at_work("finetune", but={killed.key})
        os.kill(hanging.pid, signal.SIGSTOP)
        sweep.finish()
        assert_as_if_nothing_had_happened(sweep, undisturbed)
    found = {fault.doing.stage: fault for fault in journal.read(sweep.folder)}
    assert {fault.kind for fault in found.values()} == {"lost"}
    assert set(found) == {f"{lease.operation}-{lease.key}" for lease in (shared, killed, hanging)}
    assert {fault.doing.pid for fault in found.values()} == {shared.pid, killed.pid, hanging.pid}
    assert {fault.node for fault in found.values()} == {os.uname().nodename}
    assert found[f"pretrain-{shared.key}"].who == f"pretrain-{shared.key}"
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
        assert [fault.kind for fault in journal.read(sweep.folder)] == ["lost", "lost", "lost", "failed"]
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
    assert broken.error.startswith("the loss became nan before step 5 of ")
    found = {fault.who: fault for fault in journal.read(sweep.folder)}
    assert {who: fault.kind for who, fault in found.items()} == {1: "failed", 2: "failed"}
    assert found[1].doing.stage.startswith("evaluate-")
    assert found[2].doing.stage.startswith("finetune-")
    assert found[2].node == found[2].doing.node == os.uname().nodename
    assert (sweep.folder / "errors" / "2.txt").read_text().startswith("Traceback")
    explained = why(sweep)
    for expected in ("trial 1 failed: learning_rate=10 error model A collapsed", "error the loss became nan before"):
        assert expected in explained


@pytest.mark.slow
def test_a_sweep_that_is_terminated_goes_on_when_it_is_started_again(home, tmp_path, undisturbed):
    with started(tmp_path / "runs", *gammas(home)) as sweep:
        sweep.at_work("finetune")
        sweep.process.send_signal(signal.SIGTERM)
        said = sweep.finish(60)
        assert sweep.process.returncode == 130, said
        assert "start the same command again to go on" in said
        assert sweep.left_behind() == []
        assert journal.read(sweep.folder) == []
    with started(tmp_path / "runs", *gammas(home)) as again:
        again.finish()
        assert_as_if_nothing_had_happened(again, undisturbed)


def assert_it_keeps_what_it_has(sweep: RunningSweep, stage: str, pid: int) -> None:
    """A process that was told to end writes its checkpoint, which is not due for a minute, and ends."""
    end = time.monotonic() + 25
    while not (sweep.storage / "scratch" / stage / "checkpoint.safetensors").exists():
        assert time.monotonic() < end
        time.sleep(0.005)
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_a_worker_that_is_told_to_end_keeps_what_it_has(home, tmp_path, undisturbed):
    with started(tmp_path / "runs", *gammas(home)) as sweep:
        struck = sweep.at_work("finetune")
        os.kill(struck.pid, signal.SIGTERM)
        assert_it_keeps_what_it_has(sweep, f"finetune-{struck.key}", struck.pid)
        sweep.finish()
        assert_as_if_nothing_had_happened(sweep, undisturbed)
    (fault,) = journal.read(sweep.folder)
    assert (fault.kind, fault.doing.stage) == ("lost", f"finetune-{struck.key}")


@pytest.mark.slow
def test_a_run_that_is_told_to_end_goes_on_from_there(home, tmp_path, undisturbed):
    words = ["-m", "dmt_ray.cli", "run", "--recipe", home / "recipe.yaml", "--data", home / "data", "--threads", "1"]
    with started(tmp_path / "runs", *words) as run:
        struck = run.at_work("finetune")
        run.process.send_signal(signal.SIGTERM)
        said = run.finish(60)
        assert run.process.returncode == 143, said
        assert re.search(r"Stopped: the training was at step \d+ of \d+ and goes on from there", said)
    assert (tmp_path / "runs" / "scratch" / f"finetune-{struck.key}" / "checkpoint.safetensors").exists()
    with started(tmp_path / "runs", *words) as again:
        assert again.finish().count("stages computed") == 1
        assert again.process.returncode == 0
        # The sweep's first trial is the recipe as it is.
        assert again.digests().items() <= undisturbed.digests().items()
        assert len(again.digests()) == 10


# ---- notes ------------------------------------------------------------------------------------------------------

ENDED = (
    "The actor died unexpectedly before finishing this task. class_name: X actor_id: 1 The actor is dead because its "
    "worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker unexpectedly exits with a "
    "connection error code 2. End of file. Some common causes include: (1) the process was killed by the OOM killer"
)
NODE = "The actor died before finishing this task. The actor is dead because its node has died. Node Id: 12ab"


def a_stage() -> Stage:
    return METHODS["dmt"](load("shapes"), 3).rungs[1]["B"].inputs["model"]


def test_a_note_says_what_a_worker_does_until_it_is_taken_away(tmp_path):
    doing = Doing.of(a_stage(), rung=1)
    journal.note(tmp_path, 7, doing)
    assert journal.noted(tmp_path, 7) == doing
    assert (doing.node, doing.pid, doing.seed) == (os.uname().nodename, os.getpid(), 3)
    assert str(doing) == f"{a_stage().name} (model B: {a_stage().config}; seed 3, rung 1)"
    assert journal.noted(tmp_path, 8) is None
    journal.forget(tmp_path, 7)
    assert journal.noted(tmp_path, 7) is None
    assert list((tmp_path / "doing").iterdir()) == []


@pytest.mark.parametrize("operation", ["label", "finetune", "evaluate"])
def test_every_stage_is_about_a_model(operation):
    stages = METHODS["dmt"](load("shapes"), 0).stages()
    told = [Doing.of(stage, None).what for stage in stages if stage.operation.name == operation]
    assert {what.split(":")[0] for what in told} == {"model A", "model B"}


@pytest.mark.parametrize(
    ("said", "expected"),
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
def test_why_a_worker_was_lost_is_said_in_one_line(tmp_path, said, expected):
    doing = Doing.of(a_stage(), rung=1)
    assert journal.why_lost(tmp_path, doing, said) == expected
    (tmp_path / "scratch" / doing.stage).mkdir(parents=True)
    (tmp_path / "scratch" / doing.stage / "stalled.txt").write_text("no progress for 9 s\n")
    assert journal.why_lost(tmp_path, doing, said) == "no progress for 9 s"
    assert journal.why_lost(tmp_path, None, said) == expected


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
