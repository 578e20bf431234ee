"""The attacks that tests make, as a table: each such test has the mark `attack` with what, where and what happens.

`python -m tests.helpers.attacks` writes the table into docs/explanation/security.md.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.helpers.paths import ROOT

PAGE = ROOT / "docs" / "explanation" / "security.md"
BEGIN, END = "<!-- attacks: made by `python -m tests.helpers.attacks` -->", "<!-- end of attacks -->"


class Attack(NamedTuple):
    """A row of the table."""

    what: str
    where: str
    outcome: str
    file: str
    test: str


def attacks() -> Iterator[Attack]:
    """All marked tests, by file and line."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if "mark.attack(" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            for mark in node.decorator_list if isinstance(node, ast.FunctionDef) else ():
                if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Attribute) and mark.func.attr == "attack":
                    what, where, outcome = (ast.literal_eval(argument) for argument in mark.args)
                    yield Attack(what, where, outcome, path.relative_to(ROOT).as_posix(), node.name)


def files() -> list[str]:
    """The files that hold them."""
    return list(dict.fromkeys(attack.file for attack in attacks()))


def table() -> str:
    """The table in Markdown, by the kind of attack."""
    rows = sorted(attacks(), key=lambda attack: (attack.what, attack.where))
    lines = [f"| {row.what} | {row.where} | {row.outcome} | `{row.file}`, `{row.test}` |" for row in rows]
    return "\n".join(["| attack | where | what happens | test |", "|---|---|---|---|", *lines])


def written(page: str) -> str:
    """A page with the table between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(written(Path(PAGE).read_text(encoding="utf-8")), encoding="utf-8")
