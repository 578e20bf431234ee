"""Which code, packages and processor made a result: git commit, whether it was dirty, versions, model of the CPU."""

import functools
import os
import platform
import re
import subprocess
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

OF_NUMBERS = ("torch", "torchvision", "segmentation-models-pytorch", "timm", "numpy")
"""Packages of which another version may give other last bits."""
PACKAGES = ("dmt-ray", *OF_NUMBERS, "ray", "optuna", "mlflow")
_WIDEST = ("amx_tile", "avx512f", "avx2", "avx")  # vector units, of which libraries use the widest that there is


@functools.cache
def versions() -> dict[str, str]:
    """Version of Python and of each package in `PACKAGES` that is installed."""
    installed = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            installed[package] = metadata.version(package)
    return installed


@functools.cache
def cpu() -> str:
    """The kind of this machine's processor: its model and its widest vector unit, by which libraries choose code.

    A limit that the user has set for torch is part of it.
    """
    text = ""
    with suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    fields = dict(re.findall(r"^(model name|flags)\s*: (.*)$", text, re.MULTILINE))
    unit = next((unit for unit in _WIDEST if unit in fields.get("flags", "").split()), "")
    name = fields.get("model name") or platform.processor() or platform.machine()
    return ", ".join(part for part in (name, unit, os.environ.get("ATEN_CPU_CAPABILITY", "")) if part)


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
