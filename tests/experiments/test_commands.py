"""Commands as they are printed: they run from where the user stands."""

import shutil
import sys
import sysconfig
from pathlib import Path

import pytest

from dmt_ray.experiments import commands
from dmt_ray.experiments.commands import command_line, runnable


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """An installation in .venv/bin below the folder that the user stands in."""
    scripts = tmp_path / "project" / ".venv" / "bin"
    scripts.mkdir(parents=True)
    (scripts / "dmt").write_text("")
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(scripts))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.chdir(tmp_path / "project")
    commands._own_dmt.cache_clear()
    yield scripts
    commands._own_dmt.cache_clear()


def test_where_dmt_is_not_on_the_path_its_file_is_named(installed):
    assert runnable("dmt ui --port 5000") == ".venv/bin/dmt ui --port 5000"


def test_where_the_path_has_it_nothing_changes(installed, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: str(installed / name))
    assert runnable("dmt ui") == "dmt ui"


def test_the_dmt_of_another_installation_is_not_meant(installed, monkeypatch, tmp_path):
    (tmp_path / "dmt").write_text("")
    monkeypatch.setattr(shutil, "which", lambda name: str(tmp_path / "dmt"))
    assert runnable("dmt ui") == ".venv/bin/dmt ui"


def test_from_another_folder_the_shorter_path_is_printed(installed, monkeypatch, tmp_path):
    (tmp_path / "other" / "place" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "other" / "place" / "deep")
    shortest = min("../../../project/.venv/bin/dmt", str(installed / "dmt"), key=len)
    assert runnable("dmt ui") == f"{shortest} ui"
    monkeypatch.chdir(installed)
    assert runnable("dmt ui") == "./dmt ui"


def test_without_a_script_python_is_named(installed):
    (installed / "dmt").unlink()
    assert runnable("dmt ui") == f"{sys.executable} -m dmt_ray.cli ui"


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("for seed in 0 1; do dmt run --seed $seed; done", "for seed in 0 1; do .venv/bin/dmt run --seed $seed; done"),
        ("run `dmt run` or `dmt ui` first", "run `.venv/bin/dmt run` or `.venv/bin/dmt ui` first"),
        ("the method dmt of dmt run", "the method dmt of dmt run"),
        ("dmt: a word", "dmt: a word"),
    ],
)
def test_commands_are_recognised_at_the_beginning_in_loops_and_in_backticks(installed, text, printed):
    assert runnable(text) == printed


def test_a_script_of_ones_own_is_run_by_this_python(installed):
    assert runnable("python mine.py --trials 3") == f"{sys.executable} mine.py --trials 3"


def test_records_hold_no_password():
    words = ["dmt", "sweep", "gamma_sweep", "--tracking-uri", "http://me:secret@host"]
    assert command_line(*words) == "dmt sweep gamma_sweep --tracking-uri 'http://me:***@host'"


def test_this_installation_is_found():
    assert Path(sysconfig.get_path("scripts"), "dmt").exists()
