"""Text from people where it would mean more than it says: in Markdown, and in the cells of a CSV file.

HTML and LaTeX are escaped where they are written; names of files and metrics are made in `results.names`.
"""

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

# What a spreadsheet takes for a formula. Their wide forms count, too: some programs take these for the narrow ones.
_FORMULA = re.compile(r"'*[=+\-@\t\n＝＋－＠]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_BREAKS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
# Turn the direction of what follows, so that a reader sees another text than there is.
DIRECTIONS = re.compile("[\u202a-\u202e\u2066-\u2069]")


def cell(value: Any) -> Any:
    """A value as a cell of a CSV file: behind a quote where a spreadsheet would run it as a formula.

    Numbers, and texts that are numbers, stay as they are.
    """
    if not isinstance(value, str):
        return value
    # Writers of CSV put no quotes around a lone carriage return, and what follows would begin a line.
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def from_cell(text: str) -> str:
    """The text, without carriage returns, that `cell` made a cell of."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def cells(frame: "pd.DataFrame") -> "pd.DataFrame":
    """A table with all its texts, and the names of its columns, as `cell` makes them."""
    made = frame.copy()
    for name in made.columns:
        if made[name].dtype.kind not in "biufcmM":
            made[name] = made[name].map(cell)
    made.columns = [cell(name) for name in made.columns]
    return made


def markdown(text: str) -> str:
    """Text that Markdown shows literally, in one line. An underscore within a word has no meaning there and can stay.

    Brackets stay, too, where they make no link: intervals stand in them.
    """
    return re.sub(r"([\\`*|<]|(?<!\w)_|_(?!\w)|\](?=[(:\[]))", r"\\\1", one_line(text))


def one_line(text: str) -> str:
    """Text without line breaks, control characters and marks that turn its direction."""
    return DIRECTIONS.sub("", _BREAKS.sub(" ", text))


def code(text: str) -> str:
    """Text as code within a line of Markdown; no backtick in it can end the code."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    if not longest:
        return f"`{one_line(text)}`"
    return f"{'`' * (longest + 1)} {one_line(text)} {'`' * (longest + 1)}"


def fenced(text: str, language: str = "") -> str:
    """Text as a block of code in Markdown; no line of it can end the block."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
