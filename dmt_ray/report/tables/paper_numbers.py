"""The numbers that a paper prints of the same table."""

import shlex
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pandas as pd

from dmt_ray.report import papers
from dmt_ray.report.tables.numbers import PaperNumbers

# Where a network starts from is for the user to say: no recipe can bring the weights along.
WEIGHTS = {f"{model}.{name}" for model in ("model", "model_b") for name in ("weights_file", "encoder_weights")}


def paper_numbers(origin: Mapping[str, Any]) -> PaperNumbers | None:
    """What the paper prints of the same table, in percent; None: there is no such table.

    Columns count as the paper's protocol only if nothing but the weights to start from was overridden on the command
    line.

    Args:
        origin: What the records say of themselves, ``frame.attrs["about"]``.
    """
    if origin.get("paper") is None:
        return None
    sources = [papers.about(id) for id in origin["paper"].split()]
    source = sources[0]
    values = pd.concat([_in_percent(one) for one in sources]).drop_duplicates(["row", "column"])
    overridden = _overridden(origin.get("command", "")) - WEIGHTS
    columns = {} if overridden else {ours: theirs for ours, theirs in origin["paper_columns"].items() if theirs}
    protocol = (
        f"{source.metric} in percent; {source.data}, {source.network}; {source.repeats}; spread: {source.spread}."
    )
    numbers = " and ".join(one.number for one in sources)
    return PaperNumbers(f"{source.authors} {source.year or ''}, {numbers}", protocol, values, source.selection, columns)


def _in_percent(source: papers.PaperTable) -> pd.DataFrame:
    values = papers.paper_table(source.id)
    scale = values["column"].map(lambda column: 100 if source.unit_of(column) == "fraction" else 1)
    return values.assign(value=values["value"] * scale, sd=values["sd"] * scale)


def _overridden(command: str) -> set[str]:
    """The settings that a command line overrides."""
    words = shlex.split(command)
    changes = [word.removeprefix("--set=") for word in words if word.startswith("--set=")]
    changes += [after for word, after in pairwise(words) if word == "--set"]
    return {change.partition("=")[0] for change in changes}
