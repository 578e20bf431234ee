"""A whole plan, in an interpreter that has neither Ray nor MLflow nor what belongs to them."""

import os
import subprocess
import sys

from tests.helpers.paths import ROOT

FORBIDDEN = ("ray", "mlflow", "optuna", "pandas", "matplotlib", "sqlalchemy")

PROGRAM = """
import sys
from pathlib import Path

sys.modules.update(dict.fromkeys(sys.argv[3].split()))  # import raises ModuleNotFoundError

from dmt_ray.config import Config
from dmt_ray.methods import METHODS
from dmt_ray.execution.runner import Machine, Runner

runner = Runner(Machine(Path(sys.argv[1]) / "runs", Path(sys.argv[2]), device="cpu"))
plan = METHODS["dmt"](runner.bind(Config.model_validate_json(sys.stdin.read())), 0)
done = runner.perform(stage for rung in plan.rungs for stage in rung.values())
assert len(done) == len(plan.stages())

import label, step

assert all(sys.modules[name] is None for name in sys.argv[3].split())
print("performed", len(done))
"""


def test_engine_and_benchmarks_need_neither_ray_nor_mlflow(tiny, pictures, tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), str(pictures), " ".join(FORBIDDEN)],
        input=tiny.model_dump_json(),
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("performed ")
