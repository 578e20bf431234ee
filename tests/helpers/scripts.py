"""The search scripts as modules, without their being a package."""

import importlib.util
from types import ModuleType

from tests.helpers.paths import SEARCHES

NAMES = sorted(path.stem for path in SEARCHES.glob("*.py") if not path.stem.startswith("_"))


def script(name: str) -> ModuleType:
    """A search script, loaded and not run."""
    spec = importlib.util.spec_from_file_location(f"searches.{name}", SEARCHES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
