import contextlib
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dmt_ray.cli import main as cli
from dmt_ray.cli.ui import has_screen
from dmt_ray.errors import ConfigError
from dmt_ray.execution.calibration import BareSteps
from dmt_ray.execution.runner import Runner
from dmt_ray.methods import METHODS
from dmt_ray.recipes import load
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
    top = "run plan sweep ablate status table figures predict report export why store data publish ui methods recipes"
    top += " completion compare evaluate model suggest audit bundle"
    assert {words[0] for words in commands()} == set(top.split())


def test_methods_are_listed_with_their_tasks_and_what_can_be_searched(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["dmt", "methods"])
    assert cli.main() == 0
    listed = capsys.readouterr().out
    for name in METHODS:
        assert f"\n{name} " in f"\n{listed}"
    said = " ".join(listed.split())
    assert "in two stages (RML, Sec. 4). for segmentation; searchable: consistency.weight, " in said
    assert "shapes" not in said.split()
    assert "(DMT, Sec. 5.2.2). for segmentation and classification; searchable: pretrain.learning_rate" in said
    assert "for classification; searchable: weight.gamma1, weight.gamma2, percentiles (by schedule.start" in said


NO_FOLDER = [[*words.split(), "--data", "."] for words in ("run", "plan", "run --dry-run", "data check")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "--recipe", "shaps"], "no recipe 'shaps'; did you mean 'shapes'?"),
        (["run", "--recipe", "none.yaml"], "cannot read the recipe file none.yaml: No such file"),
        (["run", "--method", "dmr"], "no method 'dmr'; did you mean 'd"),
        (["run", "--set", "weight.gamma1=-2"], "weight.gamma1 must be at least 0, but got -2"),
        (["run", "--seed", "-1"], "--seed must be a number from 0 to 4,294,967,295, but got -1"),
        (["run", "--seed", str(2**64)], f"--seed must be a number from 0 to 4,294,967,295, but got {2**64}"),
        (["run", "--workers", "2", "--device", "cpu"], "--device is for a single worker"),
        *((words, "'shapes' is built in and needs no folder") for words in NO_FOLDER),
        (["data", "download", "--data", "."], "'shapes' cannot be downloaded: "),
        (["plan", "--recipe", "camvid"], "DMT_DATA"),
        (["run", "--recipe", "camvid", "--data", "/nowhere"], "/nowhere"),
        (["run", "--device", "cuda:77"], "no device 'cuda:77'"),
        (["store", "ls", "--storage", "nowhere"], "there is no store in nowhere"),
        (["store", "gc", "--budget", "1GB", "--storage", "nowhere"], "there is no store in nowhere"),
        (["store", "gc", "--budget", "much"], "a size is written as 500MB or 10GB, but got 'much'"),
        (["ui", "--storage", "nowhere"], "nothing to show yet"),
        (["run", "--storage", "/proc/nowhere"], "cannot use the store /proc/nowhere: No such file"),
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


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_that_is_none_is_refused_before_the_ui_starts(tmp_path, capsys):
    (tmp_path / "mlflow.db").touch()
    assert cli.main(["ui", "--storage", str(tmp_path), "--port", "99999"]) == 2
    said = capsys.readouterr()
    assert ("--port must be from 1 to 65535" in said.err, said.out) == (True, "")


def test_a_taken_port_is_a_failure_that_names_the_program_that_has_it(tmp_path, taken, capsys):
    (tmp_path / "mlflow.db").touch()
    assert cli.main(["ui", "--storage", str(tmp_path), "--port", str(taken)]) == 1
    said = capsys.readouterr()
    assert said.err.startswith(f"error: port {taken} is taken by process {os.getpid()}, `")
    assert (Path(sys.executable).name in said.err, said.out) == (True, "")


def test_a_browser_is_opened_only_where_there_is_a_screen():
    assert has_screen("linux", {"DISPLAY": ":0"})
    assert has_screen("linux", {"WAYLAND_DISPLAY": "wayland-0"})
    assert has_screen("darwin", {})
    assert not has_screen("linux", {"BROWSER": "w3m", "DISPLAY": ""})


def test_a_wrong_command_shows_no_traceback_to_its_user(tmp_path):
    done = dmt("run", "--recipe", "shaps", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: there is no recipe 'shaps'; did you mean 'shapes'? A file must end in .yaml.\n"


def test_help_does_not_import_the_heavy_packages():
    heavy = "{'torch', 'ray', 'mlflow', 'optuna', 'pandas', 'pydantic', 'rich'}"
    code = f"import sys, dmt_ray.cli.main as c; c.parser([]); print(*{heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.fixture(scope="module")
def known(module_machine, settings):
    """A storage folder in which data and networks have been looked at before, and nothing was performed."""
    runner = Runner(module_machine)
    config = runner.bind(load(str(settings)))
    for method in METHODS.values():
        with contextlib.suppress(ConfigError):  # a method for other data
            stages = method(config, 0).stages()
            runner.check(stages)
            for stage in stages:
                if stage.config.trains:
                    BareSteps(runner)(stage)
    return module_machine.store


HEAVY = "torch ray mlflow optuna matplotlib segmentation_models_pytorch"
SPOKEN = """
import sys
from collections.abc import Iterator
sys.argv = {words}
{code}
print("loaded:", *set("{heavy}".split()) & set(sys.modules))
"""


@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param(["dmt", "plan"], "import dmt_ray.cli.main as c; assert c.main() == 0", id="plan"),
        pytest.param(["dmt", "run", "--dry-run"], "import dmt_ray.cli.main as c; assert c.main() == 0", id="run"),
        pytest.param(
            ["s"],
            "import runpy; d = runpy.run_path('{root}/searches/gamma_sweep.py'); d['main'](d['QUESTION'])",
            id="sweep",
        ),
        pytest.param(
            ["a", "--seeds", "0"], "from ablations.components import QUESTION, main; main(QUESTION)", id="ablation"
        ),
    ],
)
def test_what_would_be_done_on_known_data_is_said_without_the_heavy_packages(words, code, known, settings, pictures):
    where = ["--recipe", str(settings), "--data", str(pictures), "--storage", str(known)]
    words = [*words, *where, *(["--dry-run"] if words[0] in ("s", "a") else [])]
    script = SPOKEN.format(words=words, code=code.format(root=ROOT), heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("follow from a few timed steps") == 1
    assert done.stdout.splitlines()[-1].strip() == "loaded:"


def test_the_engine_runs_where_ray_mlflow_and_optuna_are_not_installed(tmp_path, pictures, settings):
    code = f"""
import sys
from collections.abc import Iterator
for name in ("ray", "mlflow", "optuna"):
    sys.modules[name] = None  # as if it were not installed
from collections.abc import Iterator
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
