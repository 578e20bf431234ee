"""Somebody else's results, where nothing may be written."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def dmt(storage: Path, *, read_only: bool) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dmt_ray.cli", "run", "--method", "baseline", "--set", "pretrain.epochs=1"]
    command += ["--storage", str(storage)]
    if read_only and os.geteuid() == 0:  # whom no mode of a folder stops
        if shutil.which("unshare") is None:
            pytest.skip("needs unshare, or another user than root")
        mount = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
        command = ["unshare", "-m", "sh", "-c", mount, str(storage), *command]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_scores_of_a_store_that_may_only_be_read_are_shown(tmp_path):
    storage = tmp_path / "runs"
    first = dmt(storage, read_only=False)
    assert first.returncode == 0, first.stderr
    shutil.rmtree(storage / "runs")
    (storage / "mlflow.db").unlink()
    if os.geteuid() != 0:
        for path in (storage, *storage.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
    again = dmt(storage, read_only=True)
    assert again.returncode == 0, again.stderr
    assert f"not published to MLflow: cannot write to {storage}" in again.stdout
    scores = [line for line in first.stdout.splitlines() if "%" in line]
    assert scores
    assert scores == [line for line in again.stdout.splitlines() if "%" in line]
