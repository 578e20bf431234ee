"""Every command on every page: understood by the real parsers, with settings, rows and names that exist; some are run.

What is in a ```sh block of a page counts. `test_every_command_runs.py` runs it all; what cannot be run needs a reason
in `pages.NOT_RUN`.
"""

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import yaml

from dmt_ray.cli import ablate, run, sweep
from dmt_ray.cli.main import parser
from dmt_ray.config import Config
from dmt_ray.errors import ConfigError
from dmt_ray.methods import METHODS, configure
from dmt_ray.recipes import RECIPES, load
from tests.helpers.pages import NOT_RUN, PAGES, Line, as_dmt, blocks, lines
from tests.helpers.paths import ROOT

LINES = list(dict.fromkeys(lines()))
# Fast, and without anything computed before.
QUICK = ("dmt --version", "dmt --help", "dmt methods", "dmt methods rml", "dmt recipes", "dmt recipes camvid")


OTHERS = [
    line for line in LINES if as_dmt(line.words) is None and (line.words[0] == "python" or line.why_not_run is None)
]


@pytest.fixture
def understand(monkeypatch, tmp_path) -> Callable[[tuple[str, ...]], argparse.Namespace]:
    """Read a command line as `dmt` does, and check it as far as that goes without data and without Ray."""
    monkeypatch.chdir(tmp_path)
    for page in PAGES:  # recipes that pages tell the reader to write
        for text in blocks(page, "yaml"):
            if name := re.match(r"# (\S+\.yaml)", text):
                Path(name[1]).write_text(text)
    monkeypatch.setattr(sweep, "_run", check_sweep)
    monkeypatch.setattr(ablate, "_run", lambda question, ablation_of, options, _: ablation_of(lambda config: config))

    def call(words: tuple[str, ...]) -> argparse.Namespace:
        given = list(words[1:])
        options = parser(given).parse_args(given)
        if words[1] in ("sweep", "ablate") and callable(options.command):
            options.command(options)
        elif words[1] in ("run", "plan"):
            run._read(options).experiment()
        elif {"changes", "recipe"} <= vars(options).keys():
            load(options.recipe, options.changes)
        return options

    return call


def check_sweep(options: argparse.Namespace, sweep_of: Callable[[Config], object], _: object, method: str) -> int:
    """What `dmt sweep` does before it prepares Ray."""
    sweep_of(load(options.recipe, options.changes, partial(configure, METHODS[method])))
    return 0


@pytest.mark.parametrize("line", [line for line in LINES if as_dmt(line.words)], ids=str)
def test_a_command_of_a_page_is_understood(line: Line, understand) -> None:
    words = as_dmt(line.words)
    assert words is not None
    if {"--help", "--version"} & set(words):
        with pytest.raises(SystemExit, match="0"):
            understand(words)
        return
    options = understand(words)
    assert getattr(options, "method", None) in (None, *METHODS)
    if words[1] == "recipes":
        assert options.recipe in (None, *RECIPES)


def test_a_wrong_option_would_be_found(understand) -> None:
    with pytest.raises(SystemExit, match="2"):
        understand(("dmt", "sweep", "gamma_sweep", "--trails", "3"))


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("dmt sweep gamma_swep", "gamma_sweep"),
        ("dmt run --set weight.gama1=3", "gamma1"),
        ("dmt run --method cbts", "cbst"),
        ("dmt data check --recipe camvit", "camvid"),
        ("dmt ablate components --rows CBTS", "CBST"),
    ],
)
def test_a_wrong_name_would_be_found(wrong: str, meant: str, understand) -> None:
    with pytest.raises(ConfigError, match=f"did you mean '(weight.)?{meant}'"):
        understand(tuple(shlex.split(wrong)))


@pytest.mark.parametrize("line", OTHERS, ids=str)
def test_another_program_of_a_page_is_there_with_its_options(line: Line) -> None:
    program, *rest = line.words
    if program == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        targets = [word for word in rest if "=" not in word]
        assert set(targets) <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)), targets
        return
    assert program == "python", f"{line}: give a reason in NOT_RUN, or mend the page"
    if rest[:2] == ["-m", "pytest"]:
        assert (ROOT / rest[2]).exists()
        return
    script = ROOT / rest[0]
    known = script.read_text(encoding="utf-8") + (ROOT / "benchmarks/timing.py").read_text(encoding="utf-8")
    assert [word for word in rest[1:] if word.startswith("--") and f'"{word}"' not in known] == []


def test_the_reasons_are_of_commands_that_are_on_a_page() -> None:
    assert [begin for begin in NOT_RUN if not any(line.begins(begin) for line in LINES)] == []


@pytest.mark.parametrize("command", QUICK)
def test_a_quick_command_runs(command: str, tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dmt_ray.cli", *shlex.split(command)[1:]], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_recipe_that_is_printed_is_one_that_can_be_read(tmp_path) -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "dmt_ray.cli", "recipes", "camvid"], capture_output=True, text=True, check=True
    )
    (tmp_path / "mine.yaml").write_text(printed.stdout)
    assert yaml.safe_load(printed.stdout)["recipe"] == "camvid"
    assert load(str(tmp_path / "mine.yaml")).evolve(recipe="camvid") == load("camvid")


def _small(words: tuple[str, ...]) -> tuple[str, ...]:
    """A command that trains, with less to do."""
    if words[1] not in ("sweep", "ablate", "run", "plan") or len(words) < 3:
        return words
    changes = ("pretrain.epochs=2", "finetune.epochs=1", "percentiles=[0.1]", "oracle.epochs=1")
    return (*words, *(word for change in changes for word in ("--set", change)))


@pytest.mark.slow
def test_the_first_tutorial_can_be_followed(tmp_path) -> None:
    """Every `dmt` line of it in its order, with shorter trainings, in an empty folder."""
    page = "docs/tutorial/first-sweep.md"
    followed = [line.words for line in lines() if line.page == page and line.words[0] == "dmt"]
    assert {"sweep", "ablate", "table", "report"} <= {words[1] for words in followed}
    for words in followed:
        if words[1] == "ui":  # a server, which does not end
            continue
        command = [sys.executable, "-m", "dmt_ray.cli", *_small(words)[1:]]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, f"{shlex.join(words)}: {done.stderr}"
