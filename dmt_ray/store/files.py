"""Crash-safe files: synced writes, digests, and file system errors that a person can act on."""

import hashlib
import os
import re
import secrets
import shutil
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dmt_ray.errors import StoreError, UserError
from dmt_ray.files import FULL, READ_ONLY, error_number, no_room, system_error
from dmt_ray.files import sync as sync

HOST = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())  # without dots: they separate the parts of a staging name


def staging_name(name: str) -> str:
    """A unique name that says which process uses it: <name>.<host>.<pid>.<random>."""
    return f"{name}.{HOST}.{os.getpid()}.{secrets.token_hex(4)}"


def owner(staging: str) -> tuple[str, int] | None:
    """Host and process id in a name that `staging_name` made; None for other names."""
    parts = staging.split(".")
    return (parts[-3], int(parts[-2])) if len(parts) >= 4 and parts[-2].isdecimal() else None


def is_dead(host: str, pid: int) -> bool:
    """Whether this process is known to have ended. Of processes of other hosts nothing is known: False."""
    try:
        if host == HOST:
            os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        pass
    return False


def digest(path: Path) -> str:
    """BLAKE2b of a file's bytes, 32 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, so that they survive a power cut."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync(folder.parent)


def create(path: Path, text: str) -> None:
    """Write a new file; nothing is left of it if that fails.

    Raises:
        FileExistsError: If it exists already: of several processes, one succeeds.
    """
    with path.open("x", encoding="utf-8") as file:
        try:
            file.write(text)
            file.flush()
        except OSError:
            path.unlink(missing_ok=True)
            raise


def replace(path: Path, text: str, staging: Path, *, synced: bool = True, folder: int | None = None) -> None:
    """Write a file so that a reader sees the old text or the new one, never a part.

    Args:
        path: The file.
        text: Its new content.
        staging: Folder on the same file system in which the text is written first.
        synced: Whether the text must survive a power cut.
        folder: Descriptor of the folder that a relative path starts from.
    """
    staging.mkdir(parents=True, exist_ok=True)
    draft = staging / staging_name(path.name)
    try:
        create(draft, text)
        if synced:
            sync(draft)
        os.replace(draft, path, dst_dir_fd=folder)
        if synced:
            if folder is None:
                sync(path.parent)
            else:
                os.fsync(folder)
    finally:
        draft.unlink(missing_ok=True)


def discard(path: Path) -> None:
    """Remove a file, if it is there and may be removed."""
    with suppress(OSError):
        path.unlink()


def refresh(*folders: Path) -> None:
    """Let this machine look at the names in folders anew, from the outermost to the innermost.

    A network file system may answer from memory for a minute that a name does not exist. To open a folder makes it ask
    the server.
    """
    for folder in folders:
        with suppress(OSError):
            os.close(os.open(folder, os.O_RDONLY | os.O_DIRECTORY))


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; 0 if there is nothing. Links are not followed."""
    try:
        status = path.lstat()
        return sum(map(size_of, path.iterdir())) if stat.S_ISDIR(status.st_mode) else status.st_size
    except (FileNotFoundError, NotADirectoryError):  # or another process has just moved or removed it
        return 0


def remove(path: Path) -> int:
    """Remove a file, or a folder with all it holds, and return how many bytes that were."""
    freed = size_of(path)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
    return freed


@contextmanager
def explained(folder: Path, inside: Path | None = None) -> Iterator[None]:
    """Turn file system errors into a StoreError that says what to do.

    Args:
        folder: The store.
        inside: If given, the block runs other people's code that writes into this folder; errors that are not
            about writing there pass unchanged.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = _reason(error, inside)
        if reason is None:
            raise
        advice = "" if "--storage" in reason else " Pass another folder as --storage."
        raise StoreError(f"cannot use the store {folder}: {reason}{advice}") from error


def _reason(error: Exception, inside: Path | None) -> str | None:
    number = error_number(error)
    if inside is not None and isinstance(error, OSError) and number not in FULL:
        named = error.filename if isinstance(error.filename, str | os.PathLike) else None
        elsewhere = named is not None and not Path(named).is_relative_to(inside)
        about_writing = no_room(inside) if number is None else number in READ_ONLY
        if elsewhere or not about_writing:
            return None
    return system_error(error, inside)
