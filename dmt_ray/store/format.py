"""store.json, which marks a folder as a store and names the format of what lies beside it."""

import functools
import json
import logging
import os
import stat
from contextlib import suppress
from pathlib import Path

from dmt_ray.errors import StoreError
from dmt_ray.files import parse_json
from dmt_ray.store import files, upkeep

log = logging.getLogger(__name__)

FORMAT = 1
# Names of folders before version 0.2, and now.
_RENAMED = {"aside": "staging", "claims": "leases", "outbox": "pending_uploads", "refused": "rejected"}
# What else may lie in the folder of a store, written by other parts of the project before the store is opened.
_NEIGHBOURS = {*upkeep.FOLDERS, *_RENAMED, *_RENAMED.values(), "data", "sweeps", "mlflow.db", "mlruns-artifacts"}
_NEIGHBOURS |= {"lost+found"}


@functools.cache
def _warn_of_writers(folder: Path) -> None:
    """Say once that everybody can change what is found in a store."""
    log.warning(
        "every user of this machine can write to %s, and so change results; take that right away with `chmod o-w %s`",
        *(folder, folder),
    )


def check(folder: Path) -> None:
    """Check that a folder is a store that this version reads; a folder that is new or empty becomes one.

    Raises:
        StoreError: If it is a file, holds something else, or has another format.
    """
    mark = folder / "store.json"
    try:
        text = mark.read_bytes()
    except NotADirectoryError:
        raise StoreError(f"{folder} is a file. Pass a folder as --storage.") from None
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True)
        strangers = sorted(
            path.name for path in folder.iterdir() if path.name not in _NEIGHBOURS and not path.name.startswith(".")
        )
        if strangers and not mark.exists():
            raise StoreError(
                f"{folder} is not a store: it has no store.json, but holds {strangers[0]!r}. "
                f"Pass a new or empty folder as --storage."
            ) from None
        files.replace(mark, json.dumps({"format": FORMAT}) + "\n", folder / "staging")
        return
    if folder.stat().st_mode & stat.S_IWOTH:
        _warn_of_writers(folder)
    try:
        version = parse_json(text)["format"]
    except (ValueError, TypeError, KeyError):
        raise StoreError(
            f'{mark} is damaged. Pass another folder as --storage, or write {{"format": {FORMAT}}}.'
        ) from None
    if version != FORMAT:
        raise StoreError(
            f"the store {folder} has format {version!r}, but this version of dmt-ray reads format {FORMAT}. "
            f"Use the version that wrote it, or pass another folder as --storage."
        )
    for old, new in _RENAMED.items():
        with suppress(OSError):  # no such folder, a new one that is not empty, or a store that may only be read
            os.rename(folder / old, folder / new)
