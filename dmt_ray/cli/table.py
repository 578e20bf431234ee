"""Tabulate an ablation, from the records in its storage folder: Markdown, LaTeX, HTML and CSV."""

import argparse
import re
import shlex
import sys
from pathlib import Path

import pandas as pd
from rich.console import Console

from dmt_ray.cli.options import STORAGE, add_storage, guarded, help_with
from dmt_ray.config import nearest
from dmt_ray.errors import ConfigError, MissingStages, StoreError
from dmt_ray.experiments import locate
from dmt_ray.files import write_text
from dmt_ray.report.tables.build import build
from dmt_ray.report.tables.latex import latex
from dmt_ray.report.tables.paper_numbers import paper_numbers
from dmt_ray.report.tables.text import csv, markdown, show, web
from dmt_ray.results import export, tidy

WRITERS = {"md": markdown, "tex": latex, "html": web, "csv": csv}


def main() -> int:
    """Print a table and write its files; returns the exit status."""
    options = _parser().parse_args()
    return guarded(lambda: _tabulate(options))


def _parser() -> argparse.ArgumentParser:
    what = __doc__ or ""
    parser = argparse.ArgumentParser(
        prog="python -m dmt_ray.cli.table",
        **help_with(f"{what}\n\ndocs/tables.md tells how to read them.", "python -m dmt_ray.cli.table components"),
    )
    parser.add_argument(
        "name",
        metavar="NAME",
        nargs="?",
        help="the ablation, such as components; of several the one that was gone on with last (default: all there are)",
    )
    add_storage(parser)
    parser.add_argument("--recipe", metavar="NAME", help="of several ablations the newest of this recipe")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the files go (default: tables/ in the storage)")
    parser.add_argument("--reference", metavar="ROW", help="the row that the others are compared with")
    parser.add_argument(
        "--per-class", action="store_true", help="also the IoU (in classification the accuracy) of every class"
    )
    parser.add_argument(
        "--records", type=Path, metavar="FILE", help="records that were exported as Parquet, instead of the storage's"
    )
    return parser


def _tabulate(options: argparse.Namespace) -> int:
    if options.records is not None:
        frames = [export.read(options.records, options.name)]
    else:
        folders = [_named(options)] if options.name else _all(options.storage)
        frames = [tidy.of_ablation(_checked(folder)) for folder in folders]
    for frame in frames:
        show_and_write(frame, options.out or options.storage / "tables", options.reference, options.per_class)
    return 0


def _named(options: argparse.Namespace) -> Path:
    try:
        return locate.locate(options.storage, options.name, options.recipe)
    except MissingStages:
        of_recipe = "" if options.recipe is None else f" with the recipe {options.recipe}"
        words = ["python", "-m", f"ablations.{options.name}"]
        words += [] if options.recipe is None else ["--recipe", options.recipe]
        words += [] if options.storage == STORAGE else ["--storage", str(options.storage)]
        raise MissingStages(
            f"there is no ablation {options.name!r}{of_recipe} in {options.storage}. Run `{shlex.join(words)}` first."
        ) from None


def _all(storage: Path) -> list[Path]:
    folders = [folder for folder in locate.all_folders(storage) if locate.is_ablation(folder)]
    if not folders:
        raise MissingStages(f"there is no ablation in {storage}. Run `python -m ablations.components` first.")
    return folders


def _checked(folder: Path) -> Path:
    if not locate.is_ablation(folder):
        raise ConfigError(f"{folder.name} is a sweep, and only ablations have tables; `dmt report` shows it")
    return folder


def show_and_write(frame: pd.DataFrame, out: Path, reference: str | None = None, per_class: bool = False) -> None:
    """Print the table of an ablation, and write it in all forms to a folder.

    Raises:
        ConfigError: If the reference is not one of its rows.
    """
    dataset_info = frame.attrs["about"]
    if reference is not None and reference not in set(frame["row"]):
        raise ConfigError(f"there is no row {reference!r}; {nearest(reference, frame['row'].unique())}")
    try:
        table = build(frame, paper=paper_numbers(dataset_info), per_class=per_class, reference=reference)
    except ValueError as error:
        raise StoreError(f"the records of {frame['question'].iloc[0]} cannot be put in a table: {error}") from None
    show(table, Console())
    out.mkdir(parents=True, exist_ok=True)
    against = "" if reference is None else f"-against-{reference}"
    stem = re.sub(r"[^A-Za-z0-9._]+", "-", f"{frame['question'].iloc[0]}-{dataset_info['recipe']}{against}")
    files = [out / f"{stem}.{ending}" for ending in WRITERS]
    for file, write in zip(files, WRITERS.values(), strict=True):
        write_text(file, write(table))
    print(f"\nWritten: {', '.join(map(str, files))}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
