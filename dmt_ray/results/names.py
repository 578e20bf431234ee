"""The one place that makes names safe: what people call a class, a recipe or a row, where fewer characters are allowed.

Distinct names stay distinct. Text that is shown, in Markdown, HTML or LaTeX, is escaped where it is written.
"""

import hashlib
import re
from collections.abc import Callable, Iterable

_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d) *(\.|$)", re.IGNORECASE)
"""Devices of Windows, whatever ending a file of that name has: it cannot be copied there."""

LONGEST = 120  # characters of a safe name: MLflow takes 250 for a whole name, file systems take 255 bytes


def metric(name: str) -> str:
    """A name as one part of a metric's name: MLflow allows letters of any script, digits and ``_-. ``."""
    return _short(re.sub(r"[^\w.\- ]", "_", name))


def file(name: str) -> str:
    """A name as one part of a file's name, in characters that no shell and no file system minds.

    A digest of the name stands behind it where more than slashes, spaces and minus signs was replaced, and where the
    name would be a device of Windows or end in a dot, which Windows leaves out.
    """
    safe = _short(re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-"))
    if _DEVICE.match(safe):
        safe = f"_{safe}"
    elif re.fullmatch(r"[A-Za-z0-9._/ -]*", name) and len(name) <= LONGEST and not safe.endswith("."):
        return safe
    return f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def distinct(names: Iterable[str], safe: Callable[[str], str]) -> dict[str, str]:
    """Name -> its safe form, no two alike in any case; where they would be, "_" is put behind the later one."""
    forms: dict[str, str] = {}
    taken: set[str] = set()
    for name in dict.fromkeys(names):
        form = safe(name)
        while form.casefold() in taken:
            form += "_"
        taken.add(form.casefold())
        forms[name] = form
    return forms


def _short(name: str) -> str:
    name = name[:LONGEST].strip()
    return name if name.strip(".") else "_" + name  # "", "." and ".." are folders
