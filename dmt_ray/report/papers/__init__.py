"""The numbers printed in the papers, each with its source and the protocol under which it was measured.

Beside this module lie one CSV file a table (`row,column,value,sd,note`, numbers as printed) and `tables.yaml`, which
says what each of them is. Methods that `dmt_ray` has carry its tables' names: "Baseline" is always training on the
labelled images alone, whatever a paper calls it, and "Ours" is the method's name. Where a name was changed, or a number
is uncertain, the note says so. Cells that a paper leaves empty have no line.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import yaml

from dmt_ray.config import nearest
from dmt_ray.errors import ConfigError

FOLDER = Path(__file__).parent

Unit = Literal["percent", "fraction"]
Selection = Literal["last", "val", "paper", "unknown"]


@dataclass(frozen=True)
class PaperTable:
    """Source and contents of a paper's table."""

    id: str  # name of the table here, e.g. "dmt-9"
    paper: str  # title
    authors: str  # as the paper is cited, "Feng et al."
    year: int | None  # year of publication; None if undated or several
    published: str  # where
    number: str  # "Table 9", as the paper counts
    caption: str  # what it shows, in our words
    metric: str  # what the values measure
    unit: Unit  # unit of the values; ask `unit_of` for that of a column
    data: str  # data set and the part that is scored
    network: str  # network of the paper's own rows
    repeats: str  # how many splits, seeds or runs a value is the mean of
    # rule that chose the scored models: last, val (validation images), paper (best on the test set), or unknown.
    selection: Selection
    spread: str  # what the column sd is. It need not be a standard deviation
    remarks: str  # what else a reader must know
    fraction_columns: tuple[str, ...] = ()  # columns in 0..1 of a table in percent

    def unit_of(self, column: str) -> Unit:
        """Unit of the values in a column: "percent" or "fraction"."""
        return "fraction" if column in self.fraction_columns else self.unit


def paper_ids() -> list[str]:
    """Names of all tables, paper by paper."""
    return list(_tables())


def about(id: str) -> PaperTable:
    """Source and protocol of a table.

    Raises:
        ConfigError: If there is no such table.
    """
    if id not in _tables():
        raise ConfigError(f"there is no table {id!r} of a paper; {nearest(id, _tables())}")
    return _tables()[id]


def paper_table(id: str) -> pd.DataFrame:
    """The numbers of a table in the paper's order, one line per cell.

    Returns:
        Columns ``row``, ``column`` (str), ``value`` (float, in the unit that `about` gives), ``sd`` (float, same unit;
        NaN where none is printed; see ``about(id).spread``), ``note`` (str, empty where there is nothing to say).

    Raises:
        ConfigError: If there is no such table.
    """
    return pd.read_csv(
        FOLDER / f"{about(id).id}.csv",
        dtype={"row": str, "column": str, "value": float, "sd": float, "note": str},
        keep_default_na=False,
        na_values={"value": [""], "sd": [""]},
    )


@cache
def _tables() -> dict[str, PaperTable]:
    text: dict[str, dict[str, dict[str, Any]]] = yaml.safe_load((FOLDER / "tables.yaml").read_text(encoding="utf-8"))
    tables = {}
    for name, fields in text["tables"].items():
        paper = text["papers"][name.split("-")[0]]
        fractions = tuple(fields.get("fraction_columns", ()))
        tables[name] = PaperTable(id=name, **paper, **{**fields, "fraction_columns": fractions})
    return tables
