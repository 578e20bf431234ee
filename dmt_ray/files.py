"""Files: atomic writes, URLs, and readable errors of the operating system."""

import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

DEEPEST = 60  # levels of lists and mappings in a JSON file; code that walks through deeper ones would end in an error

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text from outside.

    Raises:
        ValueError: If it is not JSON, not Unicode, or nested more than `DEEPEST` levels deep.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    try:
        value = json.loads(text)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()  # half a character could never be printed
    except RecursionError:
        raise ValueError(f"it is nested more than {DEEPEST} levels deep") from None
    level = [value]
    for _ in range(DEEPEST):
        level = [
            part
            for whole in level
            if isinstance(whole, list | dict)
            for part in (whole if isinstance(whole, list) else whole.values())
        ]
        if not level:
            return value
    raise ValueError(f"it is nested more than {DEEPEST} levels deep")


def read_json(path: Path) -> Any:
    """The value of a JSON file.

    Raises:
        OSError: If it cannot be read.
        ValueError: As `parse_json`.
    """
    return parse_json(path.read_bytes())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A draft beside `path`, with the same ending, that takes its place when the block ends without an error.

    The folder is made where it does not exist. Two processes may write the same file: the later one wins.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{secrets.token_hex(4)}-{path.name}")
    try:
        yield draft
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def obstacle(file: Path, *endings: str) -> str:
    """Why a file cannot be written under its name, in a sentence with what to do; "" if nothing is in the way.

    Args:
        file: What is to be written; a file that is there may be replaced.
        endings: One of which its name must have.
    """
    folder = file.absolute().parent
    if not file.name.endswith(endings):
        return f"the name of the file must end in {' or '.join(endings)}, but got {str(file)!r}"
    if file.is_dir():
        return f"{file} is a folder: name a file"
    if not folder.exists():
        return f"there is no folder {folder}: create it, or name another one"
    if not folder.is_dir():
        return f"{folder} is a file and no folder: name another one"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"nothing can be written to {folder}: allow it, or name another folder"
    return ""


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str, *, synced: bool = True) -> None:
    """Write a UTF-8 text file whole, with the line ends that the text has.

    Args:
        path: The file.
        text: Its new content.
        synced: Whether the text must survive a power cut.
    """
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8", newline="")
        if synced:
            sync(draft)
    if synced:
        sync(path.parent)


def append_lines(path: Path, lines: Iterable[str]) -> None:
    """Append lines to a UTF-8 text file, which is made where it does not exist; they survive a power cut.

    If that fails, none of them is there. A line that an ended process has left half-written stays a line of its own.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without a buffer: one that could not be written is written again when the file is closed.
    with path.open("a+b", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - 1))
        torn = file.read(1) not in (b"", b"\n")
        content = ("\n" * torn + "".join(f"{line}\n" for line in lines)).encode()
        try:
            while content:
                content = content[file.write(content) :]
            os.fsync(file.fileno())
        except OSError:
            file.truncate(end)
            raise
    sync(path.parent)


def sqlite_url(path: Path) -> str:
    """The URL of an SQLite database, whatever its folder is called."""
    from sqlalchemy import URL, make_url

    plain = f"sqlite:///{path}"
    # In the plain form "%20" would be a space, and "?" the end of the name.
    if make_url(plain).database == str(path):
        return plain
    return URL.create("sqlite", database=str(path)).render_as_string()


FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}
_NO_ROOM = 64 * 1024  # bytes free: below it, a write that failed without a reason is a full disk


def system_error(error: BaseException, folder: Path | None = None) -> str | None:
    """What the operating system refused, for which file, and what to do, in one sentence.

    Args:
        error: What was raised: an OSError, or another library's error that hides one.
        folder: Where was written; it says whether a write that failed without a reason found a full disk.

    Returns:
        None if it is no error of the operating system.
    """
    number = error_number(error)
    named = getattr(error, "filename", None)
    what = f" ({os.fsdecode(named)})" if isinstance(named, str | bytes | os.PathLike) else ""
    if number in FULL or (isinstance(error, OSError) and number is None and folder is not None and no_room(folder)):
        full = f"the disk is full, or a limit on file sizes was reached{what}"
        return f"{full}. Free space, or pass another folder as --storage."
    if not isinstance(error, OSError):  # Optuna and Ray raise their own errors from those of the system
        return None if error.__cause__ is None else system_error(error.__cause__, folder)
    if number in READ_ONLY:
        return f"{error.strerror}{what}. Allow writing there, or pass another folder as --storage."
    if number is None:
        return str(error) or type(error).__name__
    advice = {
        errno.ENAMETOOLONG: ". Use a shorter name, or a folder with a shorter path",
        errno.ENOENT: ". Create it, or name another one",
        errno.EMFILE: ". Raise the limit, as with `ulimit -n 4096`",
        errno.ENOTDIR: ". Name a folder",
        errno.EISDIR: ". Name a file",
    }
    return f"{error.strerror or os.strerror(number)}{what}{advice.get(number, '')}."


def error_number(error: BaseException) -> int | None:
    """The errno of an error; safetensors and SQLite give it only in their messages, numpy's short writes not at all."""
    number = getattr(error, "errno", None)
    if isinstance(number, int):
        return number
    text = str(error)
    if match := re.search(r"\(os error (\d+)\)|\[Errno (\d+)\]", text):
        return int(match[1] or match[2])
    return errno.ENOSPC if "database or disk is full" in text else None


def no_room(folder: Path) -> bool:
    """Whether the disk of a folder is full."""
    with suppress(OSError):
        return shutil.disk_usage(folder).free < _NO_ROOM
    return False
