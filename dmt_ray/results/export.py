"""All scores of ablations and sweeps in one file, for whatever else people use."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dmt_ray.config import nearest
from dmt_ray.errors import ConfigError, MissingStages, StoreError
from dmt_ray.experiments import locate
from dmt_ray.files import replacing
from dmt_ray.results import tidy, tidy_sweep
from dmt_ray.store import Store

ENDINGS = (".parquet", ".csv")


def check(file: Path) -> None:
    """Refuse what cannot be written.

    Raises:
        ConfigError: If the ending is none of `ENDINGS`, or there is no such folder.
    """
    if file.suffix not in ENDINGS:
        raise ConfigError(f"records are written as .parquet or .csv, but got {str(file)!r}")
    if not file.absolute().parent.is_dir():
        raise ConfigError(f"there is no folder {file.absolute().parent} to write {file.name} to")


def of_all(storage: Path, name: str | None = None) -> pd.DataFrame:
    """The tidy table of one ablation or sweep, or of all in a storage folder, one below the other.

    Args:
        storage: Folder of the results.
        name: Its name, or the beginning of it; None: all.

    Returns:
        The columns of `records`; where there are sweeps also those of `sweeps`. ``attrs["abouts"]`` maps each
        experiment to its ``dataset_info``; of a single one it is ``attrs["dataset_info"]``, too.

    Raises:
        ConfigError: If there is nothing of that name.
        StoreError: If there is no store.
    """
    folders = [locate.locate(storage, name)] if name is not None else locate.all_folders(storage)
    if not folders:
        raise ConfigError(
            f"there are no sweeps and no ablations in {storage}. Pass the folder of the results as --storage."
        )
    store = Store(folders[0].parents[1])
    return together([_of(folder, store) for folder in folders])


def _of(folder: Path, store: Store) -> pd.DataFrame:
    return tidy.of_ablation(folder, store) if locate.is_ablation(folder) else tidy_sweep.of_sweep(folder, store)


def together(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Tidy tables one below the other, with what `of_all` says of ``attrs``; those without a line are left out."""
    abouts = {str(frame["experiment"].iloc[0]): frame.attrs["about"] for frame in frames if len(frame)}
    # Lists and not pd.concat: a table in which a column is empty must not decide what the others hold there.
    lines = [line for frame in frames for line in frame.to_dict("records")]
    columns = dict.fromkeys([*tidy.COLUMNS, *(name for frame in frames for name in frame.columns)])
    found = pd.DataFrame(lines, columns=list(columns))
    for name in found.columns:
        if name.startswith("param/") and not pd.api.types.is_numeric_dtype(found[name]):
            known = found[name].notna()
            found[name] = found[name].map(str).where(known, None)  # a method beside a number
        elif name in ("rung", "snapshots", "models", "steps", "trial"):
            found[name] = found[name].astype("Int64")
    found.attrs["abouts"] = abouts
    if len(abouts) == 1:
        found.attrs["about"] = next(iter(abouts.values()))
    return found


def write(frame: pd.DataFrame, file: Path) -> None:
    """Write a table as Parquet, with its ``attrs``, or as CSV, without."""
    check(file)
    with replacing(file) as draft:
        if file.suffix == ".csv":
            frame.to_csv(draft, index=False, lineterminator="\n")
        else:
            frame.to_parquet(draft, engine="pyarrow", index=False)


def read(file: Path, experiment: str | None = None) -> pd.DataFrame:
    """Read what `write` wrote as Parquet.

    Args:
        file: The file.
        experiment: Name of one ablation or sweep, or the beginning of it; None: the only one.

    Returns:
        Its lines, with ``attrs["dataset_info"]``, as `records` or `sweeps` make them.

    Raises:
        StoreError: If the file holds no such records.
        MissingStages: If it holds none of that name, or several.
    """
    try:
        frame = pd.read_parquet(file, engine="pyarrow")
    except (OSError, ValueError) as error:
        raise StoreError(f"{file} cannot be read as records: {error}") from None
    abouts = frame.attrs.get("abouts")
    if not abouts or "experiment" not in frame:
        raise StoreError(f"{file} holds no records: write them with `dmt export --out {file.name}`")
    names = [name for name in abouts if experiment is None or name.startswith(experiment)]
    if experiment in names:
        names = [experiment]
    if not names:
        raise MissingStages(f"{file} has no records of {experiment!r}; {nearest(experiment or '', abouts)}")
    if len(names) > 1:
        raise MissingStages(f"{file} has records of several experiments, say of which: {', '.join(names)}")
    found: pd.DataFrame = frame[frame["experiment"] == names[0]].reset_index(drop=True)
    found.attrs = {"about": abouts[names[0]], "abouts": {names[0]: abouts[names[0]]}}
    return found
