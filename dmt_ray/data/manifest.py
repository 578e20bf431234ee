"""Remembers the digests of files, so that a data set that has not changed is not read again."""

import hashlib
import json
import os
import time
from collections.abc import Iterable
from concurrent.futures import Executor
from pathlib import Path

from dmt_ray.data.check import Problems, Steps
from dmt_ray.data.decode import digest
from dmt_ray.data.files import below
from dmt_ray.files import read_json, write_text

# A file that was written this short before it was read could be written again within one tick of the file system's
# clock, with the same size: its digest is not remembered.
SETTLED_NS = 2_000_000_000
Entry = tuple[int, int, str]  # size, modification time in ns, digest


def digest_files(
    paths: Iterable[Path], root: Path, cache: Path, pool: Executor, problems: Problems, steps: Steps
) -> dict[Path, str]:
    """The digest of each file; files of the same size and modification time as last time are not read.

    `cache` is the folder of the manifest; an OSError says that it cannot be written. Files that cannot be read are
    problems, and are left out of the result.
    """
    # The manifests of version 0.2 and earlier lack the depth and the orientation in a digest.
    name = hashlib.blake2b(os.fsencode(root.resolve()), digest_size=8, person=b"turned").hexdigest()
    manifest = cache / f"files-{name}.json"
    known, now, changed = _load(manifest), time.time_ns(), False
    digests: dict[Path, str] = {}
    unread: list[tuple[Path, os.stat_result]] = []
    for path in paths:
        try:
            state = path.stat()
        except OSError as error:
            problems.add("files that cannot be read", f"{below(path, root)} ({error.strerror})")
            continue
        entry = known.get(below(path, root))
        if entry is not None and entry[:2] == (state.st_size, state.st_mtime_ns):
            digests[path] = entry[2]
        else:
            unread.append((path, state))
    steps.expect(len(unread))
    for (path, state), result in zip(unread, pool.map(_digest, (path for path, _ in unread)), strict=True):
        steps.one_more()
        if isinstance(result, OSError):
            problems.add("files that cannot be read", f"{below(path, root)} ({result.strerror})")
            continue
        digests[path] = result
        if now - state.st_mtime_ns > SETTLED_NS:
            known[below(path, root)] = (state.st_size, state.st_mtime_ns, result)
            changed = True
    if changed:
        write_text(manifest, json.dumps(known))
    return digests


def _digest(path: Path) -> str | OSError:
    try:
        return digest(path.read_bytes())
    except OSError as error:
        return error


def _load(manifest: Path) -> dict[str, Entry]:
    """What was remembered; nothing where the manifest is missing or damaged, since it can always be made again."""
    try:
        entries = read_json(manifest)
        return {str(name): (int(size), int(changed), str(digest)) for name, (size, changed, digest) in entries.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
