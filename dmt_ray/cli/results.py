"""What came out of sweeps, ablations and runs: `dmt why`, `table`, `figures`, `report`, `export`, `publish` and `ui`."""

import argparse
import os
import sys

from dmt_ray.cli.store import existing
from dmt_ray.errors import ConfigError


def explain_faults(options: argparse.Namespace) -> None:
    """Print what failed in a sweep or an ablation."""
    from dmt_ray.experiments.diagnose import diagnose
    from dmt_ray.experiments.locate import locate

    print(diagnose(locate(options.storage, options.name)))


def tabulate(options: argparse.Namespace) -> None:
    """Print tables of ablations, and write their files."""
    from dmt_ray.report.tables.files import records_of, show_and_write

    for frame in records_of(options.storage, options.name, options.recipe, options.records):
        show_and_write(frame, options.out or options.storage / "tables", options.reference, options.per_class)


def draw(options: argparse.Namespace) -> None:
    """Draw the figures of an ablation or a sweep."""
    from dmt_ray.experiments.locate import locate
    from dmt_ray.report.figures.files import write_figures

    write_figures(
        locate(options.storage, options.name),
        options.out,
        only=options.only,
        rows=options.rows,
        ending=options.format,
        predict=options.predict,
        data=options.data,
        device=options.device,
    )


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
    os.environ |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    os.environ.setdefault("PYTHONWARNINGS", "ignore")  # of packages that MLflow is built on
    print(f"MLflow on http://{options.host}:{options.port} - Ctrl-C ends it", flush=True)
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{database}"]
    command += ["--host", options.host, "--port", str(options.port), "--workers", "1"]
    os.execv(sys.executable, command)
