"""Results: `dmt why`, `table`, `figures`, `report`, `export` and `publish`."""

import argparse
import sys

from dmt_ray.cli.exit_codes import ExitCode
from dmt_ray.cli.options import begin, ignored
from dmt_ray.cli.status import show_status
from dmt_ray.cli.store import existing
from dmt_ray.experiments.commands import runnable


def explain_faults(options: argparse.Namespace) -> None:
    """Print what failed in a sweep or an ablation; without a name, what there is."""
    if options.name is None:
        ignored("is for one experiment: give its NAME, too", options, json="--json")
        show_status(options)
        print(runnable("\n`dmt why NAME` explains what failed in one of the sweeps and ablations."))
        return
    from dmt_ray.experiments.diagnose import diagnose
    from dmt_ray.experiments.locate import locate

    found = diagnose(locate(options.storage, options.name))
    if options.json:
        from dmt_ray.cli.documents import WhyDocument

        WhyDocument.of(found).show()
    else:
        print(found.text(runnable))


def tabulate(options: argparse.Namespace) -> None:
    """Print tables of ablations, and write their files."""
    if options.records is not None:
        ignored(
            "selects among the ablations in the storage folder, but --records reads a file", options, recipe="--recipe"
        )
    if options.name is None:
        ignored("selects among the ablations of one NAME: give the NAME, too", options, recipe="--recipe")
    if options.json:
        ignored("is for the files, but --json writes none", options, out="--out")
        ignored("adds to what is printed; with --json use `dmt export`, which has all", options, metrics="--metrics")
    else:
        begin("reading the records")
    from dmt_ray.report.tables.files import show_and_write, table_of, tables_of
    from dmt_ray.results import export

    if options.records is not None:
        frames = [export.read(options.records, options.name)]
    else:
        frames = tables_of(options.storage, options.name, options.recipe)
    tables = [table_of(frame, options.reference, options.per_class, options.metrics) for frame in frames]
    if options.json:
        from dmt_ray.cli.documents import TablesDocument

        TablesDocument.of(tables).show()
        return
    for table, frame in zip(tables, frames, strict=True):
        show_and_write(table, options.out or options.storage / "tables", frame, options.reference)


def draw(options: argparse.Namespace) -> None:
    """Draw the figures of an ablation or a sweep."""
    from dmt_ray.experiments import experiment_file
    from dmt_ray.experiments.locate import is_ablation, locate

    if not options.predict:
        ignored(
            "is for --predict, which loads models", options, data="--data", device="--device", eval_batch="--eval-batch"
        )
    folder = locate(options.storage, options.name)
    if not is_ablation(folder):
        what = f"is for ablations, and {folder.name} is a sweep, none of whose figures needs pictures"
        ignored(what, options, rows="--rows", predict="--predict", metric="--metric")
    begin(f"drawing the figures of {folder.name}")
    from dmt_ray.report.figures.drawing import AblationFigures, of_sweep, save_all
    from dmt_ray.report.figures.predictions import Predictor

    out = options.out or folder.parents[1] / "figures" / folder.name
    if is_ablation(folder):
        data = options.data or experiment_file.read(folder).data
        predictor = Predictor(
            *(folder.parents[1], data, options.device or "auto"),
            computes=options.predict,
            eval_batch=options.eval_batch,
        )
        figures = AblationFigures(folder, predictor, options.rows, options.metric)
        drawings, incomplete = figures.drawings(), list(figures.incomplete())
    else:
        drawings, incomplete = of_sweep(folder), []
    for file, left_out in save_all(drawings, out, options.format, options.only):
        print(left_out or file, file=sys.stderr if left_out else sys.stdout)
    for line in incomplete:
        print(runnable(line), file=sys.stderr)


def export_records(options: argparse.Namespace) -> None:
    """Write the tidy table of one or all ablations and sweeps."""
    from dmt_ray.results import export, tidy

    export.check(options.out)
    begin("reading the records")
    frame = tidy.of_all(options.storage, options.name)
    export.write(frame, options.out)
    print(f"{len(frame):,} numbers of {', '.join(frame['experiment'].unique())} are written to {options.out}")


def write_report(options: argparse.Namespace) -> None:
    """Write the page of an ablation or a sweep, or those of all, and an index."""
    if options.name is None:
        ignored("is the file of a single page: give a NAME, too", options, out="--out")
    begin(f"writing {'all pages' if options.name is None else f'the page of {options.name}'}")
    from dmt_ray.experiments.locate import locate
    from dmt_ray.report import html_page

    pages = options.storage / "report"
    if options.name is None:
        for file in html_page.write_all(options.storage, pages):
            print(f"written: {file}")
        return
    folder = locate(options.storage, options.name)
    if options.out is None:
        pages.mkdir(parents=True, exist_ok=True)
    file = options.out or pages / f"{folder.name}.html"
    html_page.write(folder, file)
    print(f"written: {file}")


def publish_everything(options: argparse.Namespace) -> int:
    """Publish every sweep, ablation and run of a storage folder; status 1 if MLflow still lacks some."""
    existing(options.storage)
    begin(f"publishing what is in {options.storage}")
    from dmt_ray.report.publishing import publish_all

    return ExitCode.FAILED if publish_all(options.storage, options.tracking_uri) else ExitCode.DONE
