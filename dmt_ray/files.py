"""The one way to write a file whole: a reader sees the old content or the new one, never a part."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file whole, with the line ends that the text has."""
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8", newline="")
