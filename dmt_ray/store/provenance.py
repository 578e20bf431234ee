"""Which code and packages made a result: git commit, whether it was dirty, and versions."""

import functools
import platform
import subprocess
from contextlib import suppress
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
        with suppress(metadata.PackageNotFoundError):
            installed[package] = metadata.version(package)
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
    return subprocess.check_output(
        ["git", "-C", folder, *words], text=True, timeout=10, stderr=subprocess.DEVNULL
    ).strip()
