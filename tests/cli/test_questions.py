"""The two doors to searches and ablations: `dmt sweep NAME` and the script."""

import runpy
import signal
import sys

import pytest

from dmt_ray.cli import ablation_driver, questions, sweep_driver
from dmt_ray.cli import main as cli
from dmt_ray.experiments.questions import titles
from tests.helpers.paths import ROOT
from tests.helpers.scripts import names

FOLDERS = {"sweep": "searches", "ablate": "ablations"}


@pytest.mark.parametrize("command", FOLDERS)
def test_questions_are_listed_with_what_they_ask(command, capsys):
    assert cli.main([command]) == 0
    listed = capsys.readouterr().out
    found = titles(command)
    assert sorted(found) == names(FOLDERS[command])
    for name, first_line in found.items():
        assert f"{name} " in listed
        assert first_line in listed


@pytest.mark.parametrize("command", FOLDERS)
def test_the_help_of_a_command_lists_its_questions(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main([command, "--help"])
    said = capsys.readouterr().out
    assert all(text in said for item in titles(command).items() for text in item)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sweep", "gama_sweep"], "there is no search 'gama_sweep'; did you mean 'gamma_sweep'?"),
        (["sweep", "Gamma_Sweep"], "there is no search 'Gamma_Sweep'; did you mean 'gamma_sweep'?"),
        (["ablate", "components", "--rows", "cbst"], "there is no row 'cbst'; did you mean 'CBST'?"),
        (["ablate", "components", "--rows", "?"], "'DST', 'DST, twice the steps', 'Online ST'"),
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


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["swep"], "argument COMMAND: invalid choice: 'swep'; did you mean 'sweep'?"),
        (["store", "lss"], "argument COMMAND: invalid choice: 'lss'; did you mean 'ls'?"),
        (["evaluate", "--model", "dmt-shapes"], "--model; the model stands without an option, in place of WHAT"),
        (["model", "export", "--model=dmt-shapes"], "the model stands without an option, in place of WHAT"),
        (["run", "--meth", "cbst"], "unrecognized arguments: --meth cbst; did you mean '--method'?"),
        (["sweep", "gamma_sweep", "--trails=3"], "unrecognized arguments: --trails=3; did you mean '--trials'?"),
        (
            ["sweep", "gamma_sweep", "--sampler", "TPE"],
            "argument --sampler: invalid choice: 'TPE'; did you mean 'tpe'?",
        ),
        (["methods", "cbst", "more"], "unrecognized arguments: more\n"),
    ],
)
def test_a_misspelt_command_or_option_brings_a_suggestion(words, hint, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(words)
    assert hint in capsys.readouterr().err


@pytest.fixture
def dry(monkeypatch, tmp_path):
    """Dry runs of sweeps, up to where the data would be opened; those sweeps."""
    sweeps = []
    monkeypatch.setattr("dmt_ray.cli.dry_run.sweep", lambda sweep_of, config, _: sweeps.append(sweep_of(config)))
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    yield sweeps
    signal.signal(signal.SIGTERM, before)


def test_a_searched_setting_that_is_set_is_fixed_and_the_others_are_searched(dry, capsys):
    assert cli.main(["sweep", "gamma_sweep", "--dry-run", "--set", "weight.gamma1=3"]) == 0
    (sweep,) = dry
    assert list(sweep.space) == ["weight.gamma2"]
    assert {plan.stages()[-2].config.weight.gamma1 for plan in sweep.plans({"weight.gamma2": 0}).values()} == {3}
    said = capsys.readouterr().err
    assert "weight.gamma1 is fixed at 3 by --set; the search varies weight.gamma2\n" in said
    assert "warning" not in said


def test_a_setting_that_no_trial_reads_brings_a_warning(dry, capsys):
    assert cli.main(["sweep", "gamma_sweep", "--dry-run", "--set", "oracle.epochs=3"]) == 0
    warning = "warning: no trial reads oracle.epochs: --set oracle.epochs=3 changes nothing\n"
    assert capsys.readouterr().err.endswith(warning)


def test_a_search_with_nothing_left_to_search_is_refused(dry, capsys):
    assert cli.main(["sweep", "gamma_sweep", "--dry-run", "--set", "weight.gamma1=3", "--set", "weight.gamma2=3"]) == 2
    assert "--set fixes everything that this search varies (weight.gamma1, weight.gamma2)" in capsys.readouterr().err
    assert dry == []
