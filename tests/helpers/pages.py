"""The pages of the documentation, and the commands in their code blocks."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.helpers.paths import ROOT

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
_BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_SETS_A_VARIABLE = re.compile(r"[A-Z_]+=.*")


class Line(NamedTuple):
    """A command on a page."""

    page: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: {shlex.join(self.words)}"


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a language on a page."""
    found = _BLOCK.findall(page.read_text(encoding="utf-8"))
    return [
        "".join(line.removeprefix(indent) for line in text.splitlines(True))
        for indent, kind, text in found
        if kind == language
    ]


def lines() -> Iterator[Line]:
    """Every command of every ```sh block, without comments, variables and what joins commands."""
    for page in PAGES:
        name = str(page.relative_to(ROOT))
        for block in blocks(page, "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                for part in line.split(" && "):
                    words = shlex.split(part, comments=True)
                    while words and _SETS_A_VARIABLE.fullmatch(words[0]):
                        words = words[1:]
                    if words:
                        yield Line(name, tuple(words))
