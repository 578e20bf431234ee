"""Which code and packages made a result: git commit, whether it was dirty, and versions."""

import functools
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

_OF_MODELS = ("torch", "torchvision", "segmentation-models-pytorch", "timm", "numpy")
PACKAGES = ("dmt-ray", *_OF_MODELS, "ray", "optuna", "mlflow")


@functools.cache
def versions() -> dict[str, str]:
    """Version of Python and of each package in `PACKAGES` that is installed."""
    installed = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return installed


@functools.cache
def git() -> dict[str, Any]:
    """{"commit": 40 hex digits, "dirty": bool} of the checkout that this package runs from; {} outside a checkout."""
    folder = Path(__file__).resolve().parent
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return {}


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()
