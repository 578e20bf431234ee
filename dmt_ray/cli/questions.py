"""The questions that `dmt sweep` and `dmt ablate` know: the scripts of `searches/` and `ablations/`.

The repository has them at its top, an installed package as `dmt_ray.searches` and `dmt_ray.ablations`. A script
that declares a `QUESTION` is found, and listed nowhere.
"""

import argparse
import ast
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from dmt_ray.cli.options import manual
from dmt_ray.errors import ConfigError
from dmt_ray.experiments.commands import command_line, runnable

Command = Literal["sweep", "ablate"]
PACKAGES: dict[Command, str] = {"sweep": "dmt_ray.searches", "ablate": "dmt_ray.ablations"}


def listed(command: Command) -> dict[str, str]:
    """Name -> first line of the docstring of every question, without running a script."""
    found = {}
    for path in sorted(_folder(command).glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
        if any(isinstance(target, ast.Name) and target.id == "QUESTION" for target in targets):
            found[path.stem] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


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
    print(table(listed(options.which)))
    print(f"\n{runnable(f'dmt {options.which} QUESTION --help')} prints the manual of one.")


def command_of(command: Command, name: str) -> str:
    """This process's command line for records: through `dmt`, whichever door was taken, if it is one of ours."""
    words = sys.argv[1:]
    if words[:2] == [command, name]:
        return command_line("dmt", *words)
    script = Path(sys.argv[0])
    if script.exists() and script.resolve() == (_folder(command) / f"{name}.py").resolve():
        return command_line("dmt", command, name, *words)
    return command_line("python", os.path.abspath(sys.argv[0]), *words)


def _folder(command: Command) -> Path:
    found = importlib.util.find_spec(PACKAGES[command])
    if found is None or not found.submodule_search_locations:
        raise ConfigError(
            f"{PACKAGES[command]} is missing from the installed dmt_ray. Reinstall it, as with `pip install -e .`"
        )
    return Path(next(iter(found.submodule_search_locations)))
