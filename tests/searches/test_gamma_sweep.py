"""The script as a user meets it: a process of its own, and what it leaves behind."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmt_ray.execution.journal import executed
from dmt_ray.experiments import experiment_file
from dmt_ray.experiments.trials import read_trials
from tests.helpers.paths import ROOT

# A limit against hanging, not on the time it takes: where eight others work on the machine, a dry run alone took 60 s.
SECONDS = 600

# Small photographs and a few steps: what is tested is the sweep, not what it finds.
RECIPE = """
recipe: folder
split: {labelled: 8, selection: 0.2}
model: {encoder: tu-test_resnet, arguments: {encoder_depth: 4, decoder_channels: [64, 48, 32, 16]}}
pretrain: {epochs: 1, batch: [4, 0], augment: {crop: [32, 32]}}
finetune: {epochs: 1, batch: [2, 6], augment: {crop: [32, 32]}}
online: {augment: {crop: [32, 32]}}
oracle: {augment: {crop: [32, 32]}}
percentiles: [0.5, 1.0]
"""


@pytest.fixture
def tiny(tmp_path: Path) -> list[str | Path]:
    """Options of a sweep over 30 images of 32 x 32 pixels: bright squares on a dark ground."""
    random = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for number in range(30):
        mask = np.zeros((32, 32), np.uint8)
        top, left = random.integers(0, 20, 2)
        mask[top : top + 12, left : left + 12] = 1
        image = random.integers(0, 100, (32, 32, 3)) + 120 * mask[..., None]
        Image.fromarray(image.astype(np.uint8)).save(tmp_path / "data" / "images" / f"{number:02}.png")
        Image.fromarray(mask).save(tmp_path / "data" / "masks" / f"{number:02}.png")
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    return ["--recipe", tmp_path / "tiny.yaml", "--data", tmp_path / "data", "--storage", tmp_path / "runs"]


def command(*options: str | Path) -> list[str]:
    return [sys.executable, "searches/gamma_sweep.py", *map(str, options)]


def gamma_sweep(*options: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*options), cwd=ROOT, capture_output=True, text=True, timeout=SECONDS)


def test_help_is_quick_and_shows_an_example():
    done = gamma_sweep("--help")
    assert done.returncode == 0
    assert "dmt sweep gamma_sweep --recipe camvid" in done.stdout
    assert "Killed? Run it again" in done.stdout
    heavy = "import sys, searches.gamma_sweep; print({'torch', 'ray', 'mlflow', 'optuna'} & set(sys.modules))"
    imported = subprocess.run([sys.executable, "-c", heavy], cwd=ROOT, capture_output=True, text=True, check=True)
    assert imported.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param(["--recipe", "shape"], "did you mean 'shapes'?", id="unknown recipe"),
        pytest.param(["--set", "weight.gama1=3"], "did you mean 'weight.gamma1'?", id="unknown setting"),
        pytest.param(["--set", "weight.rule=uniform"], "reads no numbers", id="settings that the rule does not read"),
        pytest.param(["--address", "127.0.0.1:1"], "there is no Ray cluster at 127.0.0.1:1", id="nobody listens"),
        pytest.param(["--address", "nowhere"], "--address is auto or host:port", id="no address"),
        pytest.param(["--seeds", "1", "1"], "--seeds must be different numbers", id="a seed twice"),
        pytest.param(
            ["--seeds", "-1"], "--seeds must be different numbers from 0 to 4,294,967,295", id="negative seed"
        ),
        pytest.param(["--trials", "0"], "--trials must be 1 or more, but got 0", id="no trials"),
        pytest.param(["--grid", "1"], "--grid must be 2 or more, but got 1", id="grid of one"),
        pytest.param(["--grid", "3", "--trials", "4"], "leave --trials out", id="grid and trials"),
        pytest.param(
            ["--gpus-per-worker", "1.5"],
            "must be between 0 and 1, as a worker uses one GPU, but got 1.5",
            id="one and a half GPUs",
        ),
        pytest.param(
            ["--workers", "3"], "one half for each model, but got 3; 2 or 4 would do", id="an odd worker group"
        ),
        pytest.param(["--workers", "0"], "but got 0; 1 would do", id="no worker"),
        pytest.param(["--cpus-per-worker", "0"], "--cpus-per-worker must be 1 or more", id="a worker without CPU"),
        pytest.param(["--max-concurrent", "0"], "--max-concurrent must be 1 or more", id="none at a time"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(options, words, tmp_path):
    done = gamma_sweep("--storage", tmp_path / "runs", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_storage_folder_that_cannot_be_written_is_said_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    done = gamma_sweep("--storage", tmp_path / "file")
    assert done.returncode == 2
    begun, error = done.stderr.splitlines()
    assert begun == "gamma_sweep: Which exponents gamma1 and gamma2 weight pseudo labels best?"
    assert str(tmp_path / "file") in error


def test_a_dry_run_says_what_would_be_done_and_does_nothing(tiny, tmp_path):
    done = gamma_sweep(*tiny, "--dry-run", "--seeds", "0", "1")
    assert done.returncode == 0, done.stderr
    assert "12 stages, common to all trials and computed once: 4 pretrain, 4 evaluate, 4 label" in done.stdout
    assert "a trial  20 stages of its own: 8 finetune, 8 evaluate, 4 label" in " ".join(done.stdout.split("\n"))
    assert "total" in done.stdout
    assert not (tmp_path / "runs" / "sweeps").exists()
    assert not (tmp_path / "runs" / "mlflow.db").exists()


def wait_for(condition, process: subprocess.Popen) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert process.poll() is None, "the sweep ended too early"
        assert time.monotonic() < end, "the sweep does not get on"
        time.sleep(0.1)


def test_a_sweep_that_is_killed_goes_on_without_doing_anything_twice(tiny, tmp_path):
    storage = tmp_path / "runs"
    options = [*tiny, "--trials", "3", "--max-concurrent", "2"]
    with subprocess.Popen(command(*options), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        # In the middle of it: some trial has just computed something of its own.
        wait_for(lambda: any(storage.glob("sweeps/*/executed/[0-9].txt")), first)
        os.kill(first.pid, signal.SIGKILL)
    (folder,) = (storage / "sweeps").iterdir()
    sweep = experiment_file.read(folder).sweep
    interrupted = read_trials(folder, sweep.name)
    assert "running" in {trial.state for trial in interrupted}

    again = gamma_sweep(*options)
    assert again.returncode == 0, again.stderr

    trials = read_trials(folder, sweep.name)
    assert [trial.number for trial in trials] == [0, 1, 2]
    assert {trial.state for trial in trials} <= {"complete", "pruned"}
    assert [trial.params for trial in trials[: len(interrupted)]] == [trial.params for trial in interrupted]
    assert trials[0].params == {"weight.gamma1": 5, "weight.gamma2": 5}
    # No stage is computed twice, and none that is not needed.
    performed = Counter(key for who in ("shared", 0, 1, 2) for key in executed(folder, who))
    needed = {stage.key for trial in trials for stage in sweep.plans(trial.params)[0].stages()}
    assert set(performed.values()) == {1}
    # The kill may strike each of the two workers between writing a stage and noting whose it is.
    assert len(needed - set(performed)) <= 2
    assert set(performed) <= needed == {path.parent.name for path in storage.glob("stages/*/*/record.json")}
    # Optuna's own table has no further trial, MLflow one run for each and one for all.
    assert query(folder / "study.db", "select state, count(*) from trials group by state") == [("COMPLETE", 3)]
    parents = "select count(*) from tags where key = 'mlflow.parentRunId'"
    assert query(storage / "mlflow.db", parents) == [(3,)]
    assert query(storage / "mlflow.db", "select status, count(*) from runs group by status") == [("FINISHED", 4)]
    # What a user needs to see and repeat it.
    assert re.search(r"^best +trial \d: gamma1=\S+ gamma2=\S+, validation mIoU \d+\.\d\d%$", again.stdout, re.MULTILINE)
    assert re.search(
        r"^replay +\S*dmt run --recipe \S+tiny.yaml --method dmt .*--set weight\.gamma2=", again.stdout, re.MULTILINE
    )
    assert f"dmt ui --storage {storage}\n" in again.stdout
    assert (folder / "trials.csv").read_text().count("\n") == 4
    assert "Traceback" not in again.stderr

    third = gamma_sweep(*options)
    assert third.returncode == 0
    assert "all 3 trials are done" in third.stdout


def query(database: Path, statement: str) -> list[tuple]:
    with sqlite3.connect(database) as connection:
        return connection.execute(statement).fetchall()
