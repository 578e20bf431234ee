"""The numbers that a paper prints for the same table."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dmt_ray.report import papers
from dmt_ray.report.tables.numbers import PaperNumbers


def paper_numbers(origin: Mapping[str, Any]) -> PaperNumbers | None:
    """What the paper prints for the same table, in percent; None if there is no such table.

    Beside which columns of ours they may stand, the records say (`recipes.published`).

    Args:
        origin: What the records say of themselves, ``frame.attrs["about"]``.
    """
    if origin.get("paper") is None:
        return None
    sources = [papers.about(id) for id in origin["paper"].split()]
    source = sources[0]
    values = pd.concat([_in_percent(one) for one in sources]).drop_duplicates(["row", "column"])
    columns = {ours: theirs for ours, theirs in origin["paper_columns"].items() if theirs}
    protocol = (
        f"{source.metric} in percent; {source.data}, {source.network}; {source.repeats}; spread: {source.spread}."
    )
    numbers = " and ".join(one.number for one in sources)
    return PaperNumbers(f"{source.authors} {source.year or ''}, {numbers}", protocol, values, source.selection, columns)


def _in_percent(source: papers.PaperTable) -> pd.DataFrame:
    values = papers.paper_table(source.id)
    scale = values["column"].map(lambda column: 100 if source.unit_of(column) == "fraction" else 1)
    return values.assign(value=values["value"] * scale, sd=values["sd"] * scale)
