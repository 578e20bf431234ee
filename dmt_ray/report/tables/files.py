"""The table of an ablation, printed and written in all forms, beside the paper's numbers."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console

from dmt_ray.config import nearest
from dmt_ray.errors import ConfigError, MissingStages, StoreError
from dmt_ray.experiments import locate
from dmt_ray.files import write_text
from dmt_ray.plan.measures import MEASURES
from dmt_ray.report.tables.build import Table, build
from dmt_ray.report.tables.latex import compact, latex
from dmt_ray.report.tables.numbers import numbers
from dmt_ray.report.tables.paper_numbers import paper_numbers
from dmt_ray.report.tables.text import csv, markdown, show, web
from dmt_ray.report.titles import METRICS, METRICS_OF
from dmt_ray.results import names, tidy

WRITERS = {".md": markdown, ".tex": latex, "-compact.tex": compact, ".html": web, ".csv": csv}


def tables_of(storage: Path, name: str | None = None, recipe: str | None = None) -> list[pd.DataFrame]:
    """The tidy tables of one ablation, or of all in a storage folder.

    Args:
        storage: Folder of the results.
        name: The ablation, as `locate` takes it; None: all.
        recipe: Of several ablations of this name only those of this recipe.

    Raises:
        MissingStages: If there is none, as of `locate`.
    """
    if name is None:
        folders = [folder for folder in locate.all_folders(storage) if locate.is_ablation(folder)]
        if not folders:
            raise MissingStages(f"there is no ablation in {storage}. Run `dmt ablate components` first.")
        return [tidy.of_ablation(folder) for folder in folders]
    return [tidy.of_ablation(locate.locate(storage, name, recipe, ("ablation",)))]


def table_of(
    frame: pd.DataFrame, reference: str | None = None, per_class: bool = False, metrics: Sequence[str] = ()
) -> Table:
    """The table of an ablation beside the paper's numbers.

    Args:
        frame: The ablation's tidy table.
        reference: The row that the others are compared with; None: that of the ablation.
        per_class: Whether the scores of every class are shown, too.
        metrics: Further metrics that are shown, or "all".

    Raises:
        ConfigError: If the reference is not one of its rows, or there is no such metric for these data.
        StoreError: If the records cannot be put in a table.
    """
    if reference is not None and reference not in set(frame["row"]):
        raise ConfigError(f"there is no row {reference!r}; {nearest(reference, frame['row'].unique())}")
    paper, further = paper_numbers(frame.attrs["about"]), further_metrics(frame, metrics)
    try:
        return build(frame, paper=paper, per_class=per_class, reference=reference, metrics=further)
    except ValueError as error:
        raise StoreError(f"the records of {frame['question'].iloc[0]} cannot be put in a table: {error}") from None


def open_rows(frame: pd.DataFrame) -> set[tuple[str, str]]:
    """The rows and columns of an ablation with looks that no look has decided yet.

    Raises:
        StoreError: If the records cannot be put in a table.
    """
    try:
        return numbers(frame, tidy.headline(frame), str(frame.attrs["about"]["reference"])).open_rows()
    except ValueError as error:
        raise StoreError(f"the records of {frame['question'].iloc[0]} cannot be compared: {error}") from None


def further_metrics(frame: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Metrics by name, each once; "all" stands for all that are made of such data, also where old records lack them.

    Raises:
        ConfigError: If there is no such metric.
    """
    measure = tidy.headline(frame)
    known = [metric for metric in METRICS if metric in METRICS_OF[measure] and metric != measure]
    for name in names:
        if name not in (*known, "all"):
            raise ConfigError(
                f"there is no metric {name!r} beside {MEASURES[measure]}; {nearest(name, ['all', *known])}"
            )
    return list(dict.fromkeys(metric for name in names for metric in (known if name == "all" else [name])))


def show_and_write(table: Table, out: Path, frame: pd.DataFrame, reference: str | None = None) -> None:
    """Print a table, and write it in all forms to a folder; `frame` and `reference` are what it was made of."""
    show(table, Console(markup=False))
    against = "" if reference is None else f"-against-{reference}"
    name = f"{frame['question'].iloc[0]}-{frame.attrs['about']['recipe']}{against}"
    stem = names.file(name)
    files = [out / f"{stem}{ending}" for ending in WRITERS]
    for file, write in zip(files, WRITERS.values(), strict=True):
        write_text(file, write(table))
    print(f"\nWritten: {', '.join(map(str, files))}", file=sys.stderr)
