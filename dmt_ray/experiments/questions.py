"""The questions that `dmt sweep` and `dmt ablate` know: the scripts of `searches/` and `ablations/`.

The repository has them at its top, an installed package as `dmt_ray.searches` and `dmt_ray.ablations`. A script
that declares a `QUESTION` is found, and listed nowhere.
"""

import ast
import importlib.util
from pathlib import Path
from typing import Literal

from dmt_ray.errors import ConfigError

Command = Literal["sweep", "ablate"]
PACKAGES: dict[Command, str] = {"sweep": "dmt_ray.searches", "ablate": "dmt_ray.ablations"}


def titles(command: Command) -> dict[str, str]:
    """Name -> first line of the docstring of every question, without running a script."""
    found = {}
    for path in sorted(folder(command).glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
        if any(isinstance(target, ast.Name) and target.id == "QUESTION" for target in targets):
            found[path.stem] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


def folder(command: Command) -> Path:
    """Where the scripts of a command lie."""
    found = importlib.util.find_spec(PACKAGES[command])
    if found is None or not found.submodule_search_locations:
        raise ConfigError(
            f"{PACKAGES[command]} is missing from the installed dmt_ray. Reinstall it, as with `pip install -e .`"
        )
    return Path(next(iter(found.submodule_search_locations)))
