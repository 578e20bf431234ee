import os
import re
import subprocess
import sys

import pytest

from dmt_ray.cli import main as cli
from dmt_ray.methods import METHODS
from tests.helpers.paths import ROOT


def dmt(*words, cwd=None, env=None):
    environment = {name: value for name, value in os.environ.items() if name != "DMT_DATA"} | (env or {})
    return subprocess.run(
        [sys.executable, "-m", "dmt_ray.cli", *map(str, words)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
    )


def test_own_pictures_need_a_yaml_file_and_no_code(settings, pictures, tmp_path, monkeypatch, capsys):
    words = ["--recipe", str(settings), "--data", str(pictures), "--storage", str(tmp_path / "runs")]

    def here(*words):
        monkeypatch.setattr(sys, "argv", ["dmt", *words])
        assert cli.main() == 0
        return capsys.readouterr().out

    planned = here("plan", *words)
    assert planned.count("[to do]") == 10
    assert "missing: 10 stages" in planned
    done = dmt("run", *words, "--threads", "1")
    assert done.returncode == 0, done.stderr
    assert "10 stages computed, 0 found" in done.stdout
    assert len(re.findall(r"^ +[01]  [AB] ", done.stdout, flags=re.M)) == 4
    assert "missing: 0 stages" in here("plan", *words)
    assert "10 stages" in here("store", "ls", *words[4:])
    assert "0 were damaged" in here("store", "verify", *words[4:])
    assert "files evicted" in here("store", "gc", "--budget", "10kB", *words[4:])
    assert "0 stages computed, 10 found" in here("run", *words)  # metrics are never evicted


def test_data_check_describes_the_data(settings, pictures, tmp_path):
    done = dmt("data", "check", "--recipe", settings, "--data", pictures, "--storage", tmp_path / "runs")
    assert done.returncode == 0, done.stderr
    assert "train" in done.stdout
    assert "triangle" in done.stdout


def commands(parser=None, words=()):
    """All commands, as lists of words; below `sweep` and `ablate` no question."""
    for action in (parser or cli.parser(["--help"]))._actions:
        for name, other in (action.choices if isinstance(action.choices, dict) else {}).items():
            yield [*words, name]
            yield from commands(other, (*words, name))


@pytest.mark.parametrize("words", [[], *commands()], ids=" ".join)
def test_every_help_has_an_example(words, capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main([*words, "--help"])
    assert re.search(r"examples?:\n  (dmt|eval) ?", capsys.readouterr().out)


def test_one_command_has_all_of_them():
    top = (
        "run plan sweep ablate status table figures report export why store data publish ui methods recipes completion"
    )
    assert {words[0] for words in commands()} == set(top.split())


def test_methods_are_listed_with_their_tasks_and_what_can_be_searched(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["dmt", "methods"])
    assert cli.main() == 0
    listed = capsys.readouterr().out
    for name in METHODS:
        assert f"\n{name} " in f"\n{listed}"
    said = " ".join(listed.split())
    assert "in two stages (RML, Sec. 4). for segmentation; searched: consistency.weight, " in said
    assert "shapes" not in said.split()
    assert "(DMT, Sec. 5.2.2). for segmentation and classification; searched: pretrain.learning_rate" in said
    assert "for classification; searched: weight.gamma1, weight.gamma2, schedule.start" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "--recipe", "shaps"], "no recipe 'shaps'; did you mean 'shapes'?"),
        (["run", "--recipe", "none.yaml"], "cannot read the recipe file none.yaml: No such file"),
        (["run", "--method", "dmr"], "no method 'dmr'; did you mean 'd"),
        (["run", "--set", "weight.gamma1=-2"], "weight.gamma1: input should be greater than or equal to 0, but got -2"),
        (["run", "--seed", "-1"], "--seed must be 0 or more"),
        (["plan", "--recipe", "camvid"], "DMT_DATA"),
        (["run", "--recipe", "camvid", "--data", "/nowhere"], "/nowhere"),
        (["run", "--device", "cuda:77"], "no device 'cuda:77'"),
        (["store", "ls", "--storage", "nowhere"], "there is no store in nowhere"),
        (["store", "gc", "--budget", "much", "--storage", "nowhere"], "there is no store in nowhere"),
        (["ui", "--storage", "nowhere"], "nothing to browse yet"),
        (["run", "--storage", "/proc/nowhere"], "--storage"),
    ],
)
def test_a_wrong_command_ends_with_one_line_and_status_2(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DMT_DATA", raising=False)
    monkeypatch.setattr(sys, "argv", ["dmt", *words])
    assert cli.main() == 2
    *begun, error = capsys.readouterr().err.splitlines()  # what takes long says what it is about to do
    assert message in error
    assert error.startswith("error: ")
    assert len(begun) <= 1


def test_a_wrong_command_shows_no_traceback_to_its_user(tmp_path):
    done = dmt("run", "--recipe", "shaps", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: there is no recipe 'shaps'; did you mean 'shapes'? A file must end in .yaml.\n"


def test_help_does_not_import_the_heavy_packages():
    heavy = "{'torch', 'ray', 'mlflow', 'optuna', 'pandas', 'pydantic', 'rich'}"
    code = f"import sys, dmt_ray.cli.main as c; c.parser([]); print(*{heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_engine_runs_where_ray_mlflow_and_optuna_are_not_installed(tmp_path, pictures, settings):
    code = f"""
import sys
for name in ("ray", "mlflow", "optuna"):
    sys.modules[name] = None  # as if it were not installed
from pathlib import Path
from dmt_ray.methods import METHODS
from dmt_ray.recipes import load
from dmt_ray.execution.runner import Machine, Runner
runner = Runner(Machine(Path({str(tmp_path / "runs")!r}), Path({str(pictures)!r})))
plan = METHODS["dmt"](runner.bind(load({str(settings)!r})), 0)
print(len(runner.perform(stage for rung in plan.rungs for stage in rung.values())))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "10", done.stderr


def test_the_readme_speaks_of_commands_that_exist():
    readme = (ROOT / "README.md").read_text()
    for command in re.findall(r"^dmt (\w+)", readme, flags=re.M):
        with pytest.raises(SystemExit, match="0"):
            cli.main([command, "--help"])
