"""The scripts of searches/ and ablations/, found and not listed."""

import importlib.util
from collections.abc import Callable
from functools import partial
from types import ModuleType

from tests.helpers.paths import ROOT


def names(folder: str) -> list[str]:
    """The scripts in a folder that ask a question of their own; other names of scripts have none."""
    return sorted(path.stem for path in (ROOT / folder).glob("*.py") if "\nQUESTION = " in path.read_text())


def script(name: str, folder: str = "searches") -> ModuleType:
    """A script as a module, loaded and not run."""
    spec = importlib.util.spec_from_file_location(f"{folder}.{name}", ROOT / folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def entry(name: str, folder: str = "searches") -> Callable[[], int]:
    """What a script does when it is run, with the words in `sys.argv`."""
    module = script(name, folder)
    return partial(module.main, module.QUESTION)
