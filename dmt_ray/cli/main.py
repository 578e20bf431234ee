"""The `dmt` command: run methods, look after the store, check data, tabulate, draw, publish and browse results."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dmt_ray.cli.data import check_data, download_data
from dmt_ray.cli.options import add, guarded, help_with
from dmt_ray.cli.results import browse, draw, explain_faults, export_records, publish_everything, tabulate, write_report
from dmt_ray.cli.run import list_methods, plan_method, run_method
from dmt_ray.cli.store import collect_garbage, list_store, verify_store

Command = Callable[[argparse.Namespace], int | None]
WHAT = ("--method", "--seed", "--recipe", "--set", "--storage", "--data", "--device", "--shared-store")
WORKERS = ("--threads", "--workers", "--gpus-per-worker", "--cpus-per-worker", "--compile", "--address")
ON_GPUS = ("--eval-batch", "--deterministic")
NAME: dict[str, Any] = {
    "metavar": "NAME",
    "help": "sweep or ablation: its full name, the beginning of it, or its folder",
}
EXAMPLE = "dmt run --recipe shapes --method dmt --seed 0 --set weight.gamma1=3"


def main() -> int:
    """Entry point of `dmt`."""
    options = parser().parse_args()
    command: Command = options.command
    return guarded(lambda: command(options))


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    what = "Dynamic Mutual Training: run methods and look after their results."
    top = argparse.ArgumentParser(prog="dmt", **help_with(what, "dmt run --method dmt --seed 0"))
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    run = _add(commands, "run", run_method, "Run a method; what is in the store is not computed again.", EXAMPLE)
    add(run, *WHAT, *WORKERS, *ON_GPUS, "--dry-run", "--tracking-uri", dry_run={"help": "the same as `dmt plan`"})
    plan = _add(commands, "plan", plan_method, "Explain a plan, what of it is missing, and its cost.", EXAMPLE)
    add(plan, *WHAT)
    what = "List the methods, with what can be searched in them, and the recipes."
    _add(commands, "methods", list_methods, what, "dmt methods")
    _add_data(commands)
    _add_results(commands)
    _add_store(commands)
    what = "Bring all sweeps, ablations and runs into MLflow, again or for the first time."
    add(_add(commands, "publish", publish_everything, what, "dmt publish"), "--storage", "--tracking-uri")
    ui = _add(commands, "ui", browse, "Serve the MLflow UI on this machine.", "dmt ui --port 5000")
    add(ui, "--storage")
    ui.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    ui.add_argument("--port", type=int, default=5000, help="port to listen on (default: 5000)")
    return top


def _add_data(commands: Any) -> None:
    example = "dmt data check --recipe camvid --data camvid/"
    group = _group(commands, "data", "Look at data sets, or download one.", example)
    what = "Check every image and mask of a data set, and say what it holds."
    add(_add(group, "check", check_data, what, example), "--recipe", "--set", "--storage", "--data")
    what = "Download the data set of a recipe: CIFAR-10 or the Oxford-IIIT Pets."
    download = _add(
        group, "download", download_data, what, "dmt data download --recipe cifar10-4000 --data data/cifar10"
    )
    add(download, "--recipe", "--set", "--data", data={"required": True, "help": "folder that it is unpacked in"})


def _add_results(commands: Any) -> None:
    what = "Say what of a sweep or an ablation failed, why and where, and which workers were lost."
    why = _add(commands, "why", explain_faults, what, "dmt why gamma_sweep-shapes")
    why.add_argument("name", **NAME)
    add(why, "--storage")
    what = "Tabulate an ablation from its records: Markdown, LaTeX, HTML and CSV. docs/tables.md tells how to read it."
    table = _add(commands, "table", tabulate, what, "dmt table components")
    table.add_argument(
        "name", nargs="?", metavar="NAME", help="the ablation, such as components (default: all there are)"
    )
    add(table, "--storage", "--out", out={"help": "folder of the files (default: tables/ in the storage)"})
    add(table, "--recipe", recipe={"default": None, "help": "of several ablations the newest of this recipe"})
    table.add_argument("--reference", metavar="ROW", help="the row that the others are compared with")
    table.add_argument(
        "--per-class", action="store_true", help="also the IoU (in classification the accuracy) of every class"
    )
    table.add_argument(
        "--records", type=Path, metavar="FILE", help="records exported as Parquet, instead of the storage's"
    )
    what = (
        "Draw the figures of an ablation or a sweep from its records. Every figure that they allow is written; of the "
        "others it is said what is missing, and what computes it."
    )
    figures = _add(commands, "figures", draw, what, "dmt figures components --predict --format pdf")
    figures.add_argument("name", **NAME)
    out = {"help": "folder of the files (default: figures/<full name>/ in the storage)"}
    data = {"help": "folder of the data set, for --predict (default: as in the records)"}
    add(figures, "--storage", "--out", "--data", "--device", "--eval-batch", out=out, data=data)
    figures.add_argument("--only", nargs="+", default=[], metavar="FIGURE", help="some figures alone, by name")
    add(figures, "--rows", rows={"default": [], "help": "rows of the pictures (default: the reference and DMT)"})
    figures.add_argument("--format", choices=("png", "pdf", "svg"), default="png", help="of the files (default: png)")
    figures.add_argument("--predict", action="store_true", help="load stored models where predictions are needed")
    what = "Write an HTML page of an ablation or a sweep: question, tables, figures, data, versions, failures."
    report = _add(commands, "report", write_report, what, "dmt report components --out components.html")
    report.add_argument("name", **NAME)
    add(report, "--out", "--storage", out={"required": True, "help": "an .html file; it needs no other file"})
    what = "Write all scores of ablations and sweeps into one table, a line a number, as Parquet or CSV."
    export = _add(commands, "export", export_records, what, "dmt export components --out components.parquet")
    export.add_argument("name", nargs="?", **NAME | {"help": f"{NAME['help']} (default: all there are)"})
    add(export, "--out", "--storage", out={"required": True, "help": "a .parquet or a .csv file"})


def _add_store(commands: Any) -> None:
    group = _group(commands, "store", "Look after the store.", "dmt store ls")
    add(_add(group, "ls", list_store, "List the stages in the store.", "dmt store ls --storage runs"), "--storage")
    what = "Read every byte of the store and quarantine damaged stages."
    add(_add(group, "verify", verify_store, what, "dmt store verify"), "--storage")
    what = "Free disk space: pseudo-label maps and middle weights go, metrics and histories never."
    gc = _add(group, "gc", collect_garbage, what, "dmt store gc --budget 10GB")
    gc.add_argument("--budget", required=True, metavar="SIZE", help="largest size of the store, as 500MB or 10GB")
    add(gc, "--storage")


def _group(commands: Any, name: str, what: str, example: str) -> Any:
    made = commands.add_parser(name, help=what, **help_with(what, example))
    return made.add_subparsers(required=True, metavar="COMMAND")


def _add(commands: Any, name: str, command: Command, what: str, example: str) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(name, help=what, **help_with(what, example))
    made.set_defaults(command=command)
    return made
