"""A storage folder that the version before the rooms execution and experiments has written goes on with this one.

old_store.tar.xz holds a gamma sweep of 2 trials, the rows Baseline and CBST of components with 2 seeds, and a run of
DST: `shapes` with small networks and short trainings, one thread. `dmt store gc` of that version has evicted labels and
weights, its database of MLflow and its figures were left out. It was written by commit d54cad9; it is never
written again: what it holds is what users have on their disks.
"""

import re
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path

import pandas as pd
import pytest

from dmt_ray.cli import main as cli
from dmt_ray.experiments import experiment_file
from dmt_ray.experiments.locate import locate
from dmt_ray.store import Store
from tests.helpers.paths import ROOT
from tests.helpers.scripts import entry

ARCHIVE = Path(__file__).parent / "old_store.tar.xz"
SETTINGS = ["--set", "pretrain.epochs=2", "--set", "finetune.epochs=1", "--set", "percentiles=[0.5,1.0]"]
SETTINGS += ["--set", "model.arguments={encoder_depth: 4, decoder_channels: [16, 8, 8, 8]}"]
DST = ["run", "--method", "dst", "--seed", "1", *SETTINGS]
SWEEP = "gamma_sweep-shapes-be91f42d"
ABLATION = "components-shapes-bd075a0d"


@pytest.fixture(scope="module")
def storage(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("old") / "runs"
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def run(storage, monkeypatch, capsys):
    """Runs a command on the old storage folder in this process; returns what it printed."""
    for name in ("prepare", "stop_on_terminate"):  # they change this process for good
        monkeypatch.setattr(f"dmt_ray.execution.cluster.{name}", lambda: None)

    def run(main, *words):
        monkeypatch.setattr(sys, "argv", ["dmt", *words, "--storage", str(storage)])
        assert not main()
        return capsys.readouterr().out

    return run


def test_the_archive_is_small_and_names_no_machine():
    assert ARCHIVE.stat().st_size < 200_000
    with tarfile.open(ARCHIVE) as archive:
        content = b"".join(archive.extractfile(member).read() for member in archive if member.isfile())
    assert b"/data/runs" in content
    assert not re.search(rb"/(home|tmp|root|work|Users)/", content)


def test_every_stage_is_intact(storage):
    store = Store(storage)
    assert len(store.ls()) == 44
    assert store.verify().damaged == []
    assert store.remade() == []


def to_do(printed: str) -> set[str]:
    """How many stages a dry run would compute, as it says in each of its lines."""
    return set(re.findall(r"(?:to do|missing):? +(\d+) stages", printed))


def test_the_sweep_goes_on_with_nothing_to_compute(run, storage):
    printed = run(entry("gamma_sweep"), "--trials", "2", *SETTINGS, "--dry-run")
    assert SWEEP in printed
    assert "\nto do    no trial: all 2 trials are done" in printed
    file = experiment_file.read(storage / "sweeps" / SWEEP)
    for params in ({"weight.gamma1": 0.5, "weight.gamma2": 0.5}, {"weight.gamma1": 5.0, "weight.gamma2": 5.0}):
        for plan in file.sweep.plans(params).values():
            assert Store(storage).missing(stage for rung in plan.rungs for stage in rung.values()) == []


def test_the_ablation_goes_on_with_nothing_to_compute(run, storage):
    printed = run(entry("components", "ablations"), "--rows", "CBST", "--seeds", "0", "1", *SETTINGS, "--dry-run")
    assert ABLATION in printed
    assert to_do(printed) == {"0"}
    file = experiment_file.read(storage / "ablations" / ABLATION)
    assert (
        Store(storage).missing(s for one in file.ablation.members() for r in one.plan.rungs for s in r.values()) == []
    )


def test_the_run_is_done_again_without_computing(run, storage):
    assert to_do(run(cli.main, *DST, "--dry-run")) == {"0"}
    command = [sys.executable, "-m", "dmt_ray.cli", *DST, "--threads", "1", "--storage", str(storage)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "0 stages computed, 8 found" in done.stdout, shlex.join(command)
    scores = re.findall(r"^ +\d  A +([0-9.]+) % +([0-9.]+) %", done.stdout, flags=re.M)
    assert scores == [("9.67", "9.57"), ("9.88", "9.80"), ("10.18", "10.17")]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("gamma_sweep", f"{SWEEP}: 2 trials, 2 complete"), ("components", f"{ABLATION}: 4 runs, 4 complete")],
)
def test_why_reads_it(run, storage, name, expected):
    assert locate(storage, name).name == expected.split(":")[0]
    assert expected in run(cli.main, "why", name)


def test_the_table_reads_it(run):
    printed = run(cli.main, "table", "components")
    assert re.search(r"Baseline .*9\.91 ± 0\.49", printed)
    assert re.search(r"CBST .*10\.09 ± 1\.29", printed)
    assert "fingerprint a00fee2dfcff" in printed
    assert "git commit d54cad9e7693e07b9a29f89ae5671406ee86f31c" in printed


def test_the_tidy_records_read_it(run, tmp_path):
    run(cli.main, "export", "--out", str(tmp_path / "all.csv"))
    frame = pd.read_csv(tmp_path / "all.csv", dtype={"trial": "Int64"})
    assert set(frame["experiment"]) == {SWEEP, ABLATION}
    derived = frame["metric"].isin(["dice", "frequency_weighted_iou"])  # from the confusion matrices of these records
    assert (len(frame[~derived]), len(frame[derived])) == (608, 152)
    assert not set(frame["metric"]) & {"boundary_iou", "ece", "brier", "nll"}  # which they lack, and which are not 0
    assert frame["value"].notna().all()
    assert set(frame["trial"].dropna()) == {0, 1}
    (score,) = set(frame.query("experiment == @SWEEP and trial == 0 and state == 'there'")["score"])
    assert score == 0.1084796142578125
