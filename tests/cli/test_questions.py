"""The two doors to searches and ablations: `dmt sweep NAME` and the script."""

import runpy
import sys

import pytest

from dmt_ray.cli import ablation_driver, questions, sweep_driver
from dmt_ray.cli import main as cli
from tests.helpers.paths import ROOT
from tests.helpers.scripts import names

FOLDERS = {"sweep": "searches", "ablate": "ablations"}


@pytest.mark.parametrize("command", FOLDERS)
def test_questions_are_listed_with_what_they_ask(command, capsys):
    assert cli.main([command]) == 0
    listed = capsys.readouterr().out
    found = questions.listed(command)
    assert sorted(found) == names(FOLDERS[command])
    for name, first_line in found.items():
        assert f"{name} " in listed
        assert first_line in listed


@pytest.mark.parametrize("command", FOLDERS)
def test_the_help_of_a_command_lists_its_questions(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main([command, "--help"])
    said = capsys.readouterr().out
    assert all(text in said for item in questions.listed(command).items() for text in item)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sweep", "gama_sweep"], "there is no search 'gama_sweep'; did you mean 'gamma_sweep'?"),
        (["ablate", "component", "--dry-run"], "there is no ablation 'component'; did you mean 'components'?"),
        (["sweep", "components"], "there is no search 'components'"),
    ],
)
def test_a_misspelt_question_names_the_nearest(words, message, capsys):
    assert cli.main(words) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("command", "name"), [("sweep", "gamma_sweep"), ("ablate", "components")])
def test_the_help_of_a_question_is_its_manual(command, name, capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main([command, name, "--help"])
    said = capsys.readouterr().out
    assert said.startswith(f"usage: dmt {command} {name} ")
    assert "Killed? Run it again" in said
    assert f"\n  dmt {command} {name} --dry-run" in said


@pytest.mark.parametrize(
    ("command", "name", "driver"),
    [("sweep", "gamma_sweep", sweep_driver), ("ablate", "components", ablation_driver)],
)
def test_both_doors_perform_the_same_and_record_the_same_command(command, name, driver, monkeypatch, tmp_path):
    monkeypatch.setattr("dmt_ray.execution.cluster.stop_on_terminate", lambda: None)
    monkeypatch.setattr("dmt_ray.execution.cluster.prepare", lambda: None)
    drives = []
    monkeypatch.setattr(driver, "drive", lambda *given: drives.append(given[-1]) or 0)
    words = ["--seeds", "0", "1", "--storage", str(tmp_path / "runs")]
    monkeypatch.setattr(sys, "argv", ["dmt", command, name, *words])
    assert cli.main() == 0
    script = ROOT / FOLDERS[command] / f"{name}.py"
    monkeypatch.setattr(sys, "argv", [str(script), *words])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(script), run_name="__main__")
    assert drives[0] == drives[1]
    assert drives[0].command == f"dmt {command} {name} --seeds 0 1 --storage {tmp_path / 'runs'}"


def test_a_script_of_ones_own_is_recorded_with_its_path(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["rates.py", "--trials", "3"])
    assert questions.command_of("sweep", "rates") == f"python {tmp_path / 'rates.py'} --trials 3"


def test_values_per_range_are_refused_where_there_is_no_range(monkeypatch, capsys, tmp_path):
    from dmt_ray.cli import sweep
    from dmt_ray.methods.space import Choice

    monkeypatch.setattr("dmt_ray.execution.cluster.stop_on_terminate", lambda: None)
    monkeypatch.setattr(sys, "argv", ["rates.py", "--grid", "3", "--storage", str(tmp_path / "runs")])
    assert sweep.main(sweep.Question("", "rates", "?", {"finetune.epochs": Choice(1, 2)})) == 2
    assert "--grid 3 is for ranges, but this search has only choices" in capsys.readouterr().err
