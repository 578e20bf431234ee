"""Small sweeps that are disturbed while they run: their command, and what must be so in the end."""

import subprocess
import sys
from pathlib import Path

import pandas as pd

from tests.helpers.sweeps import RunningSweep


def words(home: Path, script: str, trials: int) -> list[str | Path]:
    options = ["--trials", str(trials), "--max-concurrent", "2"]
    return [home / script, "--recipe", home / "recipe.yaml", "--data", home / "data", *options]


def gammas(home: Path) -> list[str | Path]:
    return words(home, "gamma.py", 3)


def assert_as_if_nothing_had_happened(sweep: RunningSweep, undisturbed: RunningSweep) -> None:
    assert sweep.process.returncode == 0
    pd.testing.assert_frame_equal(sweep.scores(), undisturbed.scores(), check_exact=True)
    assert sweep.digests() == undisturbed.digests()
    assert set(sweep.digests()) == sweep.needed()
    assert sweep.left_behind() == []


def why(sweep: RunningSweep) -> str:
    command = [sys.executable, "-m", "dmt_ray.cli", "why", sweep.folder.name, "--storage", str(sweep.storage)]
    return " ".join(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
