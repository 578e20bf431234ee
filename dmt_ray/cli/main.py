"""The `dmt` command: run a method, explain its plan, look after the store, check data, publish and browse results."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dmt_ray.cli.data import check_data, download_data
from dmt_ray.cli.options import (
    add_address,
    add_experiment,
    add_machine,
    add_shared_store,
    add_storage,
    add_tracking,
    add_workers,
    guarded,
    help_with,
)
from dmt_ray.cli.results import browse, explain_faults, export_records, publish_everything, write_report
from dmt_ray.cli.run import list_methods, plan_method, run_method
from dmt_ray.cli.store import collect_garbage, list_store, verify_store

Command = Callable[[argparse.Namespace], int | None]


def main() -> int:
    """Entry point of `dmt`."""
    options = parser().parse_args()
    command: Command = options.command
    return guarded(lambda: command(options))


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(
        prog="dmt",
        **help_with(
            "Dynamic Mutual Training: run methods and look after their results.", "dmt run --method dmt --seed 0"
        ),
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    run = _add(
        commands, "run", run_method, "Run a method; what is in the store is not computed again.", _METHOD_EXAMPLE
    )
    _method_options(run)
    run.add_argument(
        "--threads", type=int, default=os.cpu_count(), help="CPU threads of a single worker (default: all cores)"
    )
    add_workers(run)
    add_address(run)
    run.add_argument("--dry-run", action="store_true", help="the same as `dmt plan`")
    add_tracking(run)

    plan = _add(commands, "plan", plan_method, "Explain a plan, what of it is missing, and its cost.", _METHOD_EXAMPLE)
    _method_options(plan)

    _add(
        commands,
        "methods",
        list_methods,
        "List the methods, with what can be searched in them, and the recipes.",
        "dmt methods",
    )

    data = _add(
        commands, "data", None, "Look at data sets, or download one.", "dmt data check --recipe camvid --data camvid/"
    )
    data_commands = data.add_subparsers(required=True, metavar="COMMAND")
    check = _add(
        data_commands,
        "check",
        check_data,
        "Check every image and mask of a data set, and say what it holds.",
        "dmt data check --recipe camvid --data camvid/",
    )
    add_experiment(check)
    add_machine(check)
    download = _add(
        data_commands,
        "download",
        download_data,
        "Download the data set of a recipe: CIFAR-10 or the Oxford-IIIT Pets.",
        "dmt data download --recipe cifar10-4000 --data data/cifar10",
    )
    add_experiment(download)
    download.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder that it is unpacked in")

    why = _add(
        commands,
        "why",
        explain_faults,
        "Say what of a sweep or an ablation failed, why and where, and which workers were lost.",
        "dmt why gamma_sweep-shapes",
    )
    why.add_argument("name", metavar="NAME", help=f"{_NAME_HELP}, or its folder")
    add_storage(why)

    export = _add(
        commands,
        "export",
        export_records,
        "Write all scores of ablations and sweeps into one table, a line a number, as Parquet or CSV.",
        "dmt export components --out components.parquet",
    )
    export.add_argument("name", nargs="?", metavar="NAME", help=f"{_NAME_HELP} (default: all that there are)")
    export.add_argument("--out", type=Path, required=True, metavar="FILE", help="a .parquet or a .csv file")
    add_storage(export)

    report = _add(
        commands,
        "report",
        write_report,
        "Write an HTML page of an ablation or a sweep: question, tables, figures, data, versions, failures.",
        "dmt report components --out components.html",
    )
    report.add_argument("name", metavar="NAME", help=f"{_NAME_HELP}, or its folder")
    report.add_argument("--out", type=Path, required=True, metavar="FILE", help="an .html file; it needs no other file")
    add_storage(report)

    store = _add(commands, "store", None, "Look after the store.", "dmt store ls")
    store_commands = store.add_subparsers(required=True, metavar="COMMAND")
    add_storage(_add(store_commands, "ls", list_store, "List the stages in the store.", "dmt store ls --storage runs"))
    verify = "Read every byte of the store and set damaged stages aside."
    add_storage(_add(store_commands, "verify", verify_store, verify, "dmt store verify"))
    gc = _add(
        store_commands,
        "gc",
        collect_garbage,
        "Free disk space: pseudo-label maps and middle weights go, metrics and histories never.",
        "dmt store gc --budget 10GB",
    )
    gc.add_argument("--budget", required=True, metavar="SIZE", help="largest size of the store, as 500MB or 10GB")
    add_storage(gc)

    publish = _add(
        commands,
        "publish",
        publish_everything,
        "Bring all sweeps, ablations and runs into MLflow, again or for the first time.",
        "dmt publish",
    )
    add_storage(publish)
    add_tracking(publish)

    ui = _add(commands, "ui", browse, "Serve the MLflow UI on this machine.", "dmt ui --port 5000")
    add_storage(ui)
    ui.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    ui.add_argument("--port", type=int, default=5000, help="port to listen on (default: 5000)")
    return top


_NAME_HELP = "name of the sweep or ablation, or the beginning of it"
_METHOD_EXAMPLE = "dmt run --recipe shapes --method dmt --seed 0 --set weight.gamma1=3"


def _add(commands: Any, name: str, command: Command | None, what: str, example: str) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(name, help=what, allow_abbrev=False, **help_with(what, example))
    if command is not None:
        made.set_defaults(command=command)
    return made


def _method_options(options: argparse.ArgumentParser) -> None:
    options.add_argument("--method", default="dmt", metavar="NAME", help="see `dmt methods` (default: dmt)")
    options.add_argument("--seed", type=int, default=0, help="seed, from 0 on (default: 0)")
    add_experiment(options)
    add_machine(options)
    add_shared_store(options)
