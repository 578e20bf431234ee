"""The `dmt` command: one door to searches, ablations, runs, results, the store and data."""

import argparse
import os
import pkgutil
import sys
from collections.abc import Sequence
from typing import Any

from dmt_ray.cli import questions
from dmt_ray.cli.exit_codes import described
from dmt_ray.cli.options import add, guarded, help_with

# Commands are named, not imported: the help of one must not wait for what another one needs.

WHAT = ("--method", "--seed", "--recipe", "--set", "--storage", "--data", "--shared-store")
WORKERS = ("--device", "--threads", "--workers", "--gpus-per-worker", "--cpus-per-worker", "--compile", "--address")
EXAMPLE = "--recipe shapes --method dmt --seed 0 --set weight.gamma1=3"


def main(words: Sequence[str] | None = None) -> int:
    """Entry point of `dmt`.

    Args:
        words: The command line; None: this process's.

    Returns:
        The exit status, as `ExitCode` names them.
    """
    given = sys.argv[1:] if words is None else list(words)
    if "_ARGCOMPLETE" in os.environ:  # the shell asks what may come next
        import argcomplete

        argcomplete.autocomplete(parser())
    return guarded(lambda: _perform(given))


def _perform(words: Sequence[str]) -> int | None:
    options = parser(words).parse_args(words)
    command = pkgutil.resolve_name(options.command) if isinstance(options.command, str) else options.command
    status: int | None = command(options)
    return status


def parser(words: Sequence[str] | None = None) -> argparse.ArgumentParser:
    """All commands and their options.

    Args:
        words: The command line: of searches and ablations, only the one that it names is loaded; None: all of them.

    Raises:
        ConfigError: If the command line names a search or an ablation that there is not.
    """
    what = "Dynamic Mutual Training: hyperparameter searches, ablations and runs, and their results."
    top = argparse.ArgumentParser(
        prog="dmt",
        epilog=described(),
        **help_with(what, "dmt sweep gamma_sweep", "dmt ablate components --dry-run", "dmt run --method dmt --seed 0"),
    )
    add(top, "--version")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    what = "Run a method; what is in the store is not computed again."
    run = _add(commands, "run", "run:run_method", what, f"dmt run {EXAMPLE}")
    add(run, *WHAT, *WORKERS, "--dry-run", "--tracking-uri", dry_run={"help": "the same as `dmt plan`"})
    what = "Explain a plan, what of it is missing, and its cost."
    add(_add(commands, "plan", "run:plan_method", what, f"dmt plan {EXAMPLE}"), *WHAT, "--json")
    what = "Search settings. Without a question: list the questions."
    _add_questions(commands, "sweep", what, "dmt sweep gamma_sweep --dry-run", words)
    what = "Fill the table of an ablation. Without a question: list the questions."
    _add_questions(commands, "ablate", what, "dmt ablate components --seeds 0 1 2", words)
    _add_results(commands)
    _add_store(commands)
    _add_data(commands)
    what = "Bring all sweeps, ablations and runs into MLflow, again or for the first time."
    add(_add(commands, "publish", "results:publish_everything", what, "dmt publish"), "--storage", "--tracking-uri")
    what = "Serve the MLflow UI on this machine."
    add(_add(commands, "ui", "results:browse", what, "dmt ui --port 5000"), "--storage", "--host", "--port")
    what = "List the methods, or describe one: what it does, and what can be searched in it."
    methods = _add(commands, "methods", "catalogue:show_methods", what, "dmt methods dmt")
    add(methods, "method")
    what = "List the recipes, or print all settings of one as a YAML file that --recipe reads."
    recipes = _add(commands, "recipes", "catalogue:show_recipes", what, "dmt recipes camvid > mine.yaml")
    add(recipes, "recipe")
    what = "Print what makes the shell complete commands, options, questions, recipes and methods."
    add(_add(commands, "completion", "completion:print_script", what, 'eval "$(dmt completion bash)"'), "shell")
    return top


def _add_questions(
    commands: Any, name: questions.Command, what: str, example: str, words: Sequence[str] | None
) -> None:
    """`dmt sweep` and `dmt ablate`, and below them what the command line names, or everything."""
    named = None if words is None else list(words[1:2]) if words[:1] == [name] else []
    known = questions.listed(name) if named is None or (words and words[0] == name) else {}
    if named and not named[0].startswith("-"):
        questions.check(name, named[0], known)
    made = commands.add_parser(name, help=what, **help_with(f"{what}\n\n{questions.table(known)}".rstrip(), example))
    made.set_defaults(command="dmt_ray.cli.questions:show", which=name)
    group = made.add_subparsers(metavar="QUESTION", help="one of these; its --help is its manual")
    for one in known if named is None else [word for word in named if word in known]:
        questions.add_parser(group, name, one)


def _add_results(commands: Any) -> None:
    what = "Say how a sweep, an ablation or a run stands: what is done, missing and failed, and what goes on with it."
    status = _add(commands, "status", "status:show_status", what, "dmt status gamma_sweep")
    everything: dict[str, Any] = {
        "nargs": "?",
        "help": "sweep, ablation or run, as elsewhere (default: all there are, a line each)",
    }
    add(status, "name", "--storage", "--json", name=everything)
    what = "Say what of a sweep or an ablation failed, why and where, and which workers were lost."
    why = _add(commands, "why", "results:explain_faults", what, "dmt why gamma_sweep-shapes")
    add(why, "name", "--storage", "--json")
    what = "Tabulate an ablation from its records: Markdown, LaTeX, HTML and CSV. The caption tells how to read it."
    table = _add(commands, "table", "results:tabulate", what, "dmt table components")
    names: dict[str, Any] = {"nargs": "?", "help": "the ablation, such as components (default: all there are)"}
    out: dict[str, Any] = {"help": "folder of the files (default: tables/ in the storage)"}
    recipe: dict[str, Any] = {"default": None, "help": "of several ablations the newest of this recipe"}
    add(table, "name", "--storage", "--out", "--recipe", name=names, out=out, recipe=recipe)
    add(table, "--reference", "--per-class", "--records", "--json")
    what = (
        "Draw the figures of an ablation or a sweep from its records. Every figure that they allow is written; of the "
        "others it is said what is missing, and what computes it."
    )
    figures = _add(commands, "figures", "results:draw", what, "dmt figures components --predict --format pdf")
    out = {"help": "folder of the files (default: figures/<full name>/ in the storage)"}
    data = {"help": "folder of the data set, for --predict (default: as in the records)"}
    device = {"default": None, "help": "where --predict runs the models: auto, cpu, cuda, cuda:1, ... (default: auto)"}
    add(figures, "name", "--storage", "--out", "--data", "--device", out=out, data=data, device=device)
    rows: dict[str, Any] = {
        "default": [],
        "help": "rows of an ablation's pictures (default: the reference and DMT)",
    }
    add(figures, "--only", "--rows", "--format", "--predict", rows=rows)
    what = "Write an HTML page of an ablation or a sweep: question, tables, figures, data, versions, failures."
    report = _add(commands, "report", "results:write_report", what, "dmt report components --out components.html")
    names = {"nargs": "?", "help": "sweep or ablation (default: a page of each, and an index of them)"}
    out = {"help": "an .html file, which needs no other one (default: report/<full name>.html in the storage)"}
    add(report, "name", "--out", "--storage", name=names, out=out)
    what = "Write all scores of ablations and sweeps into one table, a line a number, as Parquet or CSV."
    export = _add(commands, "export", "results:export_records", what, "dmt export components --out components.parquet")
    names = {"nargs": "?", "help": "sweep or ablation (default: all there are)"}
    out = {"required": True, "help": "a .parquet or a .csv file"}
    add(export, "name", "--out", "--storage", name=names, out=out)


def _add_store(commands: Any) -> None:
    group = _group(commands, "store", "Look after the store.", "dmt store ls")
    ls = _add(group, "ls", "store:list_store", "List the stages in the store.", "dmt store ls --storage runs")
    add(ls, "--storage", "--json")
    what = "Read every byte of the store and quarantine damaged stages."
    add(_add(group, "verify", "store:verify_store", what, "dmt store verify"), "--storage")
    what = "Free disk space: pseudo-label maps and middle weights go, metrics and histories never."
    add(_add(group, "gc", "store:collect_garbage", what, "dmt store gc --budget 10GB"), "--budget", "--storage")


def _add_data(commands: Any) -> None:
    example = "dmt data check --recipe camvid --data camvid/"
    group = _group(commands, "data", "Look at data sets, or download one.", example)
    what = "Check every image and mask of a data set, and say what it holds."
    add(_add(group, "check", "data:check_data", what, example), "--recipe", "--set", "--storage", "--data")
    what = "Download the data set of a recipe: CIFAR-10 or the Oxford-IIIT Pets."
    example = "dmt data download --recipe cifar10-4000 --data data/cifar10"
    download = _add(group, "download", "data:download_data", what, example)
    add(download, "--recipe", "--set", "--data", data={"required": True, "help": "folder that it is unpacked in"})


def _group(commands: Any, name: str, what: str, example: str) -> Any:
    made = commands.add_parser(name, help=what, **help_with(what, example))
    return made.add_subparsers(required=True, metavar="COMMAND")


def _add(commands: Any, name: str, command: str, what: str, example: str) -> argparse.ArgumentParser:
    """A command; `command` names its function in this package, as in "run:plan_method"."""
    made: argparse.ArgumentParser = commands.add_parser(name, help=what, **help_with(what, example))
    made.set_defaults(command=f"dmt_ray.cli.{command}")
    return made
