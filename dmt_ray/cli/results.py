"""Results: `dmt why`, `table`, `figures`, `report`, `export`, `publish` and `ui`."""

import argparse
import os
import sys

from dmt_ray.cli.store import existing
from dmt_ray.errors import ConfigError
from dmt_ray.files import sqlite_url
from dmt_ray.tracking.connection import relocate


def explain_faults(options: argparse.Namespace) -> None:
    """Print what failed in a sweep or an ablation."""
    from dmt_ray.experiments.diagnose import diagnose
    from dmt_ray.experiments.locate import locate

    print(diagnose(locate(options.storage, options.name)))


def tabulate(options: argparse.Namespace) -> None:
    """Print tables of ablations, and write their files."""
    from dmt_ray.report.tables.files import show_and_write, tables_of
    from dmt_ray.results import export

    if options.records is not None:
        frames = [export.read(options.records, options.name)]
    else:
        frames = tables_of(options.storage, options.name, options.recipe)
    for frame in frames:
        show_and_write(frame, options.out or options.storage / "tables", options.reference, options.per_class)


def draw(options: argparse.Namespace) -> None:
    """Draw the figures of an ablation or a sweep."""
    from dmt_ray.experiments import experiment_file
    from dmt_ray.experiments.locate import is_ablation, locate
    from dmt_ray.report.figures.drawing import AblationFigures, of_sweep, save_all
    from dmt_ray.report.figures.predictions import Predictor

    folder = locate(options.storage, options.name)
    out = options.out or folder.parents[1] / "figures" / folder.name
    if is_ablation(folder):
        data = options.data or experiment_file.read(folder).data
        predictor = Predictor(folder.parents[1], data, options.device, computes=options.predict)
        figures = AblationFigures(folder, predictor, options.rows)
        drawings, incomplete = figures.drawings(), list(figures.incomplete())
    else:
        drawings, incomplete = of_sweep(folder), []
    for file, left_out in save_all(drawings, out, options.format, options.only):
        print(left_out or file, file=sys.stderr if left_out else sys.stdout)
    for line in incomplete:
        print(line, file=sys.stderr)


def export_records(options: argparse.Namespace) -> None:
    """Write the tidy table of one or all ablations and sweeps."""
    from dmt_ray.results import export, tidy

    export.check(options.out)
    frame = tidy.of_all(options.storage, options.name)
    export.write(frame, options.out)
    print(f"{len(frame)} numbers of {', '.join(frame['experiment'].unique())} are written to {options.out}")


def write_report(options: argparse.Namespace) -> None:
    """Write the page of an ablation or a sweep."""
    from dmt_ray.experiments.locate import locate
    from dmt_ray.report import html_page

    html_page.write(locate(options.storage, options.name), options.out)
    print(f"written: {options.out}")


def publish_everything(options: argparse.Namespace) -> int:
    """Publish every sweep, ablation and run of a storage folder; status 1 if MLflow still lacks some."""
    from dmt_ray.report.publishing import publish_all

    existing(options.storage)
    return 1 if publish_all(options.storage, options.tracking_uri) else 0


def browse(options: argparse.Namespace) -> None:
    """Become the MLflow server; Ctrl-C ends it."""
    database = options.storage.absolute() / "mlflow.db"
    if not database.exists():
        raise ConfigError(f"there is nothing to browse yet: no {database}. Run `make sweep` or `dmt run` first.")
    relocate(options.storage)
    os.environ |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    os.environ.setdefault("PYTHONWARNINGS", "ignore")  # of packages that MLflow is built on
    print(f"MLflow on http://{options.host}:{options.port} - Ctrl-C ends it", flush=True)
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", sqlite_url(database)]
    command += ["--host", options.host, "--port", str(options.port), "--workers", "1"]
    os.execv(sys.executable, command)
