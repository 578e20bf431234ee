"""Options are declared once, mean the same everywhere, and none is ignored."""

import argparse
import ast
import logging
import sys

import pytest

from dmt_ray.cli import main as cli
from dmt_ray.cli.declared import OPTIONS
from dmt_ray.cli.options import absolute_files, guarded
from tests.helpers.paths import ROOT

SOURCES = [path for folder in ("dmt_ray", "searches", "ablations") for path in (ROOT / folder).rglob("*.py")]


def test_no_other_file_declares_an_option():
    faults = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SOURCES
        if path != ROOT / "dmt_ray" / "cli" / "options.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("add_argument", "add_argument_group")
    ]
    assert not faults, "declare these in dmt_ray/cli/declared.py:\n" + "\n".join(faults)


def uses(parser, words=()):
    """Command, option of every option of every command."""
    for action in parser._actions:
        if isinstance(action.choices, dict):
            for name, other in action.choices.items():
                yield from uses(other, (*words, name))
        else:
            yield from ((words, option, action) for option in action.option_strings or [action.dest])


USES = [(words, option, action) for words, option, action in uses(cli.parser()) if option not in ("-h", "--help")]


def test_every_declared_option_is_one_of_some_command():
    assert {option for _, option, _ in USES} == OPTIONS.keys()


@pytest.mark.parametrize("option", sorted({option for _, option, _ in USES}))
def test_an_option_sets_the_same_in_all_commands(option):
    kinds = {(action.dest, action.type, action.metavar, type(action)) for _, other, action in USES if other == option}
    assert len(kinds) == 1


@pytest.fixture
def refused(capsys, monkeypatch, tmp_path):
    """The error of a command that must not begin."""

    def call(*words: str) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["dmt", *words])
        assert cli.main() == 2
        return capsys.readouterr().err

    return call


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("run --workers 2 --device cuda", "--device is for a single worker"),
        ("run --workers 2 --threads 3", "--threads is for a single worker"),
        ("run --cpus-per-worker 2", "--cpus-per-worker is for --workers 2 or more"),
        ("run --address auto --gpus-per-worker 1", "--address and --gpus-per-worker is for --workers 2 or more"),
        ("table --recipe camvid", "--recipe selects among the ablations of one NAME"),
        ("table components --recipe shapes --records all.parquet", "--records reads a file"),
        ("table --json --out here", "--out is for the files, but --json writes none"),
        ("report --out all.html", "--out is the file of a single page: give a NAME, too"),
        ("figures components --data camvid/", "--data is for --predict, which loads models"),
        ("figures components --data camvid/ --device cpu", "--data and --device is for --predict"),
    ],
)
def test_an_option_that_would_be_ignored_is_an_error(refused, words, message):
    assert message in refused(*words.split())


@pytest.mark.parametrize("words", ["--rows DMT", "--predict"])
def test_the_figures_of_a_sweep_have_no_pictures_to_choose_or_compute(refused, tmp_path, words):
    folder = tmp_path / "runs" / "sweeps" / "gamma_sweep-shapes-0000aaaa"
    folder.mkdir(parents=True)
    (folder / "sweep.json").write_text("{}")
    said = refused("figures", "gamma_sweep", *words.split())
    assert f"{words.split()[0]} is for ablations, and {folder.name} is a sweep" in said


def test_a_device_has_no_effect_on_a_plan_and_is_none_of_its_options(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["plan", "--device", "cpu"])
    assert "unrecognized arguments: --device cpu" in capsys.readouterr().err


def test_files_are_made_absolute_so_that_a_command_repeats_the_work_from_any_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("recipe: shapes")
    changes = ["model.weights_file=w.safetensors", "model_b.weights_file=null", "finetune.epochs=3"]
    changes.append("external.masks=drafts")
    given = argparse.Namespace(recipe="mine.yaml", changes=changes)
    absolute_files(given)
    assert given.recipe == str(tmp_path / "mine.yaml")
    first, last = (f"model.weights_file={tmp_path / 'w.safetensors'}", f"external.masks={tmp_path / 'drafts'}")
    assert given.changes == [first, *changes[1:-1], last]
    named = argparse.Namespace(recipe="shapes", changes=[])
    absolute_files(named)
    assert named.recipe == "shapes"


def test_what_is_logged_looks_like_other_warnings(capsys):
    record = logging.LogRecord("dmt_ray", logging.WARNING, __file__, 1, "%s is gone", ("the model",), None)
    assert guarded(lambda: logging.lastResort.handle(record) and None) == 0
    assert capsys.readouterr().err == "warning: the model is gone\n"
