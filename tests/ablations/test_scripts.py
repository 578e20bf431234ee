"""The ablation scripts: what they have in common, and what the curves among them ask."""

import subprocess
import sys

import pytest

from dmt_ray.cli import ablation_driver
from dmt_ray.execution.options import Options
from dmt_ray.experiments.ablation import Ablation
from tests.helpers.paths import ROOT
from tests.helpers.scripts import entry, names, script

NAMES = names("ablations")


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    """What a script sets for its process stays within a test."""
    monkeypatch.setattr("dmt_ray.execution.cluster.stop_on_terminate", lambda: None)
    monkeypatch.setattr("dmt_ray.execution.cluster.prepare", lambda: None)


@pytest.fixture
def ablation_of(monkeypatch, capsys):
    """The table that a script makes of its options."""

    def call(name: str, *options: str) -> Ablation:
        made: list[Ablation] = []

        def note(ablation_of, options: Options) -> int:
            made.append(ablation_of(lambda config: config))
            return 0

        monkeypatch.setattr(ablation_driver, "drive", note)
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *options])
        status = entry(name, "ablations")()
        assert status == 0, capsys.readouterr().err
        return made[0]

    return call


def test_scripts_are_found():
    assert {"components", "label_fraction", "reversal"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_script_is_its_own_manual(name):
    manual = script(name, "ablations").__doc__
    for words in ("Killed? Run it again", "examples:", f"dmt ablate {name} "):
        assert words in manual


@pytest.mark.parametrize("name", NAMES)
def test_a_script_is_named_for_its_question_and_has_its_reference(ablation_of, name):
    ablation = ablation_of(name, "--seeds", "3", "1")
    assert ablation.question == name
    assert ablation.title.endswith("?")
    assert ablation.seeds == (1, 3)
    assert ablation.reference in {cell.row for cell in ablation.cells}


def test_scripts_load_neither_torch_nor_ray():
    code = f"import sys, {', '.join(f'ablations.{name}' for name in NAMES)}\n"
    code += "print({'torch', 'ray', 'mlflow', 'optuna'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


NEW_TABLE = '''"""Does gamma1 matter? A script as a user would write it.

Killed? Run it again.

examples:
  python gamma_table.py --dry-run
"""

import sys

from dmt_ray.cli.ablate import Question, main
from dmt_ray.experiments.ablation import Row

GAMMAS = {f"gamma {gamma}": Row("dst", {"weight.gamma1": gamma}) for gamma in (1, 9)}
ROWS = {"Baseline": Row("baseline"), **GAMMAS}
QUESTION = Question(__doc__, "gamma_table", "Does gamma1 matter?", ROWS)

if __name__ == "__main__":
    sys.exit(main(QUESTION))
'''


def test_a_new_table_is_one_script_that_is_listed_nowhere(tmp_path):
    script = tmp_path / "gamma_table.py"
    script.write_text(NEW_TABLE)
    command = [sys.executable, str(script), "--dry-run", "--seeds", "0", "--storage", str(tmp_path / "runs")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "rows     Baseline; gamma 1; gamma 9\n" in done.stdout


def test_a_share_that_the_data_cannot_be_divided_for_is_said_before_the_work_begins(tmp_path, settings, pictures):
    # 1 % of a few pictures is one picture, of which alpha 0.8 leaves a model none.
    command = [sys.executable, "-m", "ablations.label_fraction", "--recipe", settings, "--data", pictures]
    command += ["--set", "dms_alpha=0.8", "--storage", tmp_path / "runs"]
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "on 80% of the labelled images) would see no images: label more" in " ".join(done.stderr.split())
    assert not (tmp_path / "runs" / "store").exists()


# ---- curves ----------------------------------------------------------------------------------------------------


def test_label_fractions_are_a_column_each_with_their_epochs_of_pretraining(ablation_of):
    ablation = ablation_of("label_fraction", "--set", "oracle.epochs=10", "--set", "dms_alpha=1")
    assert len(ablation.cells) == 7 * 4
    # sqrt(1 / 0.01) x 10 epochs of pretraining
    (cell,) = (cell for cell in ablation.cells if (cell.row, cell.column) == ("CBST", "1%"))
    assert (cell.config.split.labelled, cell.config.pretrain.epochs) == (0.01, 100)


@pytest.mark.parametrize(("own", "lengths"), [(1, [1, 2, 4, 6]), (4, [4, 8, 16, 24]), (10, [5, 10, 20, 30])])
def test_epochs_between_reversals_fit_the_recipe(ablation_of, own, lengths):
    ablation = ablation_of("reversal", "--set", f"finetune.epochs={own}")
    cells = [cell for cell in ablation.cells if cell.method == "dmt"]
    assert [cell.config.finetune.epochs for cell in cells] == lengths
    assert {cell.config.order for cell in cells} == {"sequential"}


def test_the_command_line_overrides_what_a_script_fixes(ablation_of):
    ablation = ablation_of("reversal", "--set", "order=simultaneous")
    assert {cell.config.order for cell in ablation.cells} == {"simultaneous"}


@pytest.mark.parametrize(("old", "new"), [("label_fraction", "label_fraction"), ("reversal_sweep", "reversal")])
def test_old_names_of_the_curves_still_work(old, new):
    command = [sys.executable, f"searches/{old}.py", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"dmt ablate {new}" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "changes"),
    [("label_fraction", ["oracle.epochs=1", "dms_alpha=1"]), ("reversal", ["finetune.epochs=1"])],
)
def test_a_curve_is_performed_to_its_table(name, changes, tmp_path, settings, pictures):
    command = [sys.executable, "-m", f"ablations.{name}", "--recipe", settings, "--data", pictures, "--seeds", "0"]
    command += ["--storage", tmp_path / "runs", *(word for change in changes for word in ("--set", change))]
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (table,) = (tmp_path / "runs" / "tables").glob(f"{name}-*.md")
    assert "DMT" in table.read_text() or "N = 6" in table.read_text()
