"""The command lines of the questions that `dmt sweep` and `dmt ablate` know."""

import argparse
import importlib
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dmt_ray.cli.options import manual
from dmt_ray.errors import ConfigError
from dmt_ray.experiments.commands import command_line, runnable
from dmt_ray.experiments.questions import PACKAGES, Command, folder, titles


def check(command: Command, name: str, known: Iterable[str]) -> None:
    """Raise a ConfigError that suggests the nearest name if there is no such question."""
    if name not in known:
        from dmt_ray.config import nearest

        what = "search" if command == "sweep" else "ablation"
        raise ConfigError(f"there is no {what} {name!r}; {nearest(name, known)}")


def add_parser(group: Any, command: Command, name: str) -> None:
    """Add a question's own command line to a group of parsers; its help is the script's docstring."""
    question = importlib.import_module(f"{PACKAGES[command]}.{name}").QUESTION
    door = importlib.import_module(f"dmt_ray.cli.{command}")
    door.add_options(group.add_parser(name, **manual(question.manual)), question)


def table(known: Mapping[str, str]) -> str:
    """Names and what they ask, a line each."""
    width = max(map(len, known), default=0)
    return "\n".join(["questions:", *(f"  {name:<{width}}  {text}" for name, text in known.items())] if known else [])


def show(options: argparse.Namespace) -> None:
    """Print the questions, and how to begin with one."""
    print(table(titles(options.which)))
    print(f"\n{runnable(f'dmt {options.which} QUESTION --help')} prints the manual of one.")


def command_of(command: Command, name: str) -> str:
    """This process's command line for records: through `dmt`, whichever door was taken, if it is one of ours."""
    words = sys.argv[1:]
    if words[:2] == [command, name]:
        return command_line("dmt", *words)
    script = Path(sys.argv[0])
    if script.exists() and script.resolve() == (folder(command) / f"{name}.py").resolve():
        return command_line("dmt", command, name, *words)
    return command_line("python", os.path.abspath(sys.argv[0]), *words)
