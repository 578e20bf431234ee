"""Tabulate an ablation, from the records in its storage folder: Markdown, LaTeX, HTML and CSV."""

import argparse
import sys
from pathlib import Path

from dmt_ray.cli.options import add_storage, guarded, help_with
from dmt_ray.report.tables.files import show_and_write, tables_of
from dmt_ray.results import export


def main() -> int:
    """Print a table and write its files; returns the exit status."""
    options = _parser().parse_args()
    return guarded(lambda: _tabulate(options))


def _parser() -> argparse.ArgumentParser:
    what = __doc__ or ""
    parser = argparse.ArgumentParser(
        prog="python -m dmt_ray.cli.table",
        **help_with(f"{what}\n\ndocs/tables.md explains how to read them.", "python -m dmt_ray.cli.table components"),
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


def _tabulate(options: argparse.Namespace) -> None:
    if options.records is not None:
        frames = [export.read(options.records, options.name)]
    else:
        frames = tables_of(options.storage, options.name, options.recipe)
    for frame in frames:
        show_and_write(frame, options.out or options.storage / "tables", options.reference, options.per_class)


if __name__ == "__main__":
    sys.exit(main())
