"""Tabulate an ablation, from the records in its storage folder: Markdown, LaTeX, HTML and CSV."""

import argparse
import json
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from analysis import papers, records
from analysis.table_latex import latex
from analysis.table_numbers import PaperNumbers
from analysis.table_text import csv, markdown, show, web
from analysis.tables import build
from dmt_ray.ablation import ablation_file
from dmt_ray.commandline import add_storage, guarded, help_with
from dmt_ray.errors import MissingStages, StoreError

WRITERS = {"md": markdown, "tex": latex, "html": web, "csv": csv}


def main() -> int:
    """Print a table and write its files; returns the exit status."""
    options = _parser().parse_args()
    return guarded(lambda: _tabulate(options))


def _parser() -> argparse.ArgumentParser:
    what = __doc__ or ""
    parser = argparse.ArgumentParser(
        prog="python -m ablations.tables",
        **help_with(f"{what}\n\ndocs/tables.md tells how to read them.", "python -m ablations.tables components"),
    )
    parser.add_argument("name", metavar="NAME", help="the ablation, such as components; of several the newest")
    add_storage(parser)
    parser.add_argument("--recipe", metavar="NAME", help="of several ablations the newest of this recipe")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the files go (default: tables/ in the storage)")
    parser.add_argument("--per-class", action="store_true", help="also the IoU of every class")
    parser.add_argument(
        "--records", type=Path, metavar="FILE", help="records that were exported as Parquet, instead of the storage's"
    )
    return parser


def _tabulate(options: argparse.Namespace) -> int:
    if options.records is not None:
        frame = _exported(options.records, options.name)
    else:
        frame = records.of_ablation(newest(options.storage, options.name, options.recipe))
    try:
        table = build(frame, paper=paper_numbers(frame.attrs["about"]), per_class=options.per_class)
    except ValueError as error:
        raise StoreError(f"the records of {options.name!r} cannot be put in a table: {error}") from None
    console = Console()
    show(table, console)
    folder = options.out or options.storage / "tables"
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{options.name}.{ending}" for ending in WRITERS]
    for file, write in zip(files, WRITERS.values(), strict=True):
        aside = file.with_name(f".{file.name}.part")
        aside.write_text(write(table), encoding="utf-8")
        os.replace(aside, file)
    print(f"\nWritten: {', '.join(map(str, files))}", file=sys.stderr)
    return 0


def newest(storage: Path, question: str, recipe: str | None = None) -> Path:
    """The folder of the ablation of a question that was started last.

    Raises:
        MissingStages: If there is none, with the command that computes it.
    """
    found = []
    for file in sorted((storage / ablation_file.FOLDER).glob(f"*/{ablation_file.NAME}")):
        try:
            said = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise StoreError(f"{file} cannot be read as an ablation: {error}") from None
        if said.get("question") == question and recipe in (None, said.get("recipe")):
            found.append((file.stat().st_mtime_ns, file.parent))
    if not found:
        of_recipe = "" if recipe is None else f" with the recipe {recipe}"
        words = ["python", "-m", f"ablations.{question}", *(["--recipe", recipe] if recipe else [])]
        words += [] if storage == Path("runs") else ["--storage", str(storage)]
        raise MissingStages(
            f"there is no ablation {question!r}{of_recipe} in {storage / ablation_file.FOLDER}. "
            f"Run `{shlex.join(words)}` first."
        )
    return max(found)[1]


def _exported(file: Path, question: str) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(file)
    except (OSError, ValueError) as error:
        raise StoreError(f"{file} cannot be read as records: {error}") from None
    if "about" not in frame.attrs or "question" not in frame:
        raise StoreError(f"{file} holds no records of an ablation: it lacks what analysis.records writes beside them")
    frame = frame[frame["question"] == question]
    if frame.empty:
        raise MissingStages(f"{file} holds no records of an ablation {question!r}")
    return frame


def paper_numbers(about: Mapping[str, Any]) -> PaperNumbers | None:
    """What the paper prints of the same table, in percent; None: there is no such table.

    Columns count as the paper's protocol only if nothing was overridden on the command line.
    """
    if about.get("paper") is None:
        return None
    source = papers.about(about["paper"])
    values = papers.paper_table(source.id)
    scale = values["column"].map(lambda column: 100 if source.unit_of(column) == "fraction" else 1)
    values = values.assign(value=values["value"] * scale, sd=values["sd"] * scale)
    overridden = any(word.startswith("--set") for word in shlex.split(about.get("command", "")))
    columns = {} if overridden else {ours: theirs for ours, theirs in about["paper_columns"].items() if theirs}
    protocol = (
        f"{source.metric} in percent; {source.data}, {source.network}; {source.repeats}; spread: {source.spread}."
    )
    return PaperNumbers(
        f"{source.authors} {source.year or ''}, {source.number}", protocol, values, source.selection, columns
    )


if __name__ == "__main__":
    sys.exit(main())
