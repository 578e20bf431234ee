"""Tidy tables in files, for other tools: all scores of ablations and sweeps as Parquet or CSV."""

from pathlib import Path

import pandas as pd

from dmt_ray.config import nearest
from dmt_ray.errors import ConfigError, MissingStages, StoreError
from dmt_ray.files import obstacle, replacing
from dmt_ray.plan import escape

MOST_VALUES = 200_000_000  # of a table that is read: a file of a few bytes can stand for many more
ENDINGS = (".parquet", ".csv")


def check(file: Path) -> None:
    """Raise an error for a file that `write` cannot write.

    Raises:
        ConfigError: If the ending is none of `ENDINGS`, or its folder is not there or cannot be written to.
    """
    if reason := obstacle(file, *ENDINGS):
        raise ConfigError(f"the records cannot be written: {reason}")


def write(frame: pd.DataFrame, file: Path) -> None:
    """Write a table as Parquet, with its ``attrs``, or as CSV, without."""
    check(file)
    with replacing(file) as draft:
        if file.suffix == ".csv":
            escape.cells(frame).to_csv(draft, index=False, lineterminator="\n")
        else:
            frame.to_parquet(draft, engine="pyarrow", index=False)


def read(file: Path, experiment: str | None = None) -> pd.DataFrame:
    """Read what `write` wrote as Parquet.

    Args:
        file: The file.
        experiment: Name of one ablation or sweep, or the beginning of it; None: the only one.

    Returns:
        Its lines, as `dmt_ray.results.tidy` makes them.

    Raises:
        StoreError: If the file holds no such records.
        MissingStages: If it holds none of that name, or several.
    """
    from pyarrow import parquet  # type: ignore[import-untyped]  # its import takes 0.2 s

    try:
        content = parquet.read_metadata(file)
        if content.num_rows * content.num_columns > MOST_VALUES:
            raise ValueError(f"it has {content.num_rows} rows of {content.num_columns} columns")
        frame = pd.read_parquet(file, engine="pyarrow")
    except Exception as error:  # pandas and Arrow let many kinds of error out of a damaged file
        raise StoreError(f"{file} cannot be read as records: {str(error) or type(error).__name__}") from None
    abouts = frame.attrs.get("abouts")
    if not abouts or "experiment" not in frame:
        raise StoreError(f"{file} holds no records: write them with `dmt export --out {file.name}`")
    begin = experiment or ""
    names = [begin] if begin in abouts else [name for name in abouts if name.startswith(begin)]
    if not names:
        raise MissingStages(f"{file} has no records of {experiment!r}; {nearest(begin, abouts)}")
    if len(names) > 1:
        raise MissingStages(f"{file} has records of several experiments; name one of:  {', '.join(names)}")
    lines: pd.DataFrame = frame[frame["experiment"] == names[0]].reset_index(drop=True)
    lines.attrs = {"about": abouts[names[0]], "abouts": {names[0]: abouts[names[0]]}}
    return lines
