"""The `dmt` command: one door to searches, ablations, runs, results, the store and data."""

import argparse
import os
import pkgutil
import sys
from collections.abc import Sequence
from typing import Any

from dmt_ray.cli import questions
from dmt_ray.cli.exit_codes import described
from dmt_ray.cli.options import Parser, add, guarded, help_with
from dmt_ray.experiments.questions import Command, titles

# Commands are named, not imported: the help of one must not wait for what another one needs.

WHAT = ("--method", "--seed", "--recipe", "--set", "--storage", "--data", "--shared-store")
WORKERS = ("--device", "--threads", "--workers", "--gpus-per-worker", "--cpus-per-worker", "--compile", "--address")
ON_GPUS = ("--eval-batch", "--deterministic")
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
    top = Parser(
        prog="dmt",
        epilog=described(),
        **help_with(what, "dmt sweep gamma_sweep", "dmt ablate components --dry-run", "dmt run --method dmt --seed 0"),
    )
    add(top, "--version")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    what = "Run a method, reusing whatever is already in the store."
    run = _add(commands, "run", "run:run_method", what, f"dmt run {EXAMPLE}")
    add(run, *WHAT, *WORKERS, *ON_GPUS, "--dry-run", "--tracking-uri", dry_run={"help": "the same as `dmt plan`"})
    what = "Show a plan, which of its stages are missing, and what they would cost."
    add(_add(commands, "plan", "run:plan_method", what, f"dmt plan {EXAMPLE}"), *WHAT, "--json")
    what = "Run a hyperparameter search. Without a QUESTION, list the available ones."
    _add_questions(commands, "sweep", what, "dmt sweep gamma_sweep --dry-run", words)
    what = "Run an ablation and print its table. Without a QUESTION, list the available ones."
    _add_questions(commands, "ablate", what, "dmt ablate components --seeds 0 1 2", words)
    _add_results(commands)
    what = (
        "Predict a folder of pictures with a trained model, in overlapping tiles. Run the same command again to "
        "resume: finished pictures are skipped. Where there are models A and B, their probabilities are averaged."
    )
    example = "dmt predict photos/ --model dmt-camvid --save class overlay disagreement"
    predict = _add(commands, "predict", "predict:predict", what, example)
    out: dict[str, Any] = {"help": "folder to write to (default: FOLDER-predictions, beside FOLDER)"}
    add(predict, "folder", "--model", "--storage", "--tracking-uri", "--out", "--save", "--masks", out=out)
    add(predict, "--device", "--tile", "--overlap", "--flip", "--scales")
    what = (
        "Score a trained model on the test images of any data set that has the same classes, in tiles as `dmt predict` "
        "sees pictures. The scores are kept in the store."
    )
    example = "dmt evaluate dmt-camvid --recipe mine.yaml --data path/to/mine"
    evaluate = _add(commands, "evaluate", "evaluate:evaluate", what, example)
    recipe: dict[str, Any] = {"help": "recipe name or YAML file: which data set (default: %(default)s)"}
    add(evaluate, "what", "--recipe", "--set", "--data", "--storage", "--tracking-uri", recipe=recipe)
    add(evaluate, "--device", "--tile", "--overlap", "--flip", "--scales")
    what = (
        "Name the unlabelled pictures of a model's data that people should label next, and write them with drafts of "
        "their masks, a contact sheet and the list of labelled pictures for the next run."
    )
    suggest = _add(commands, "suggest", "suggest:suggest", what, "dmt suggest --count 20 --model dmt-camvid")
    out = {"help": "new folder to write to, best below the data set's folder (default: suggested)"}
    add(suggest, "--count", "--by", "--model", "--storage", "--data", "--out", "--device", "--seed", out=out)
    _add_audits(commands)
    _add_models(commands)
    _add_store(commands)
    _add_data(commands)
    what = "Publish all sweeps, ablations and runs to MLflow; safe to repeat."
    add(_add(commands, "publish", "results:publish_everything", what, "dmt publish"), "--storage", "--tracking-uri")
    what = (
        "Serve the MLflow UI on this machine, and open its list of training runs in a browser, where there is a screen."
    )
    add(_add(commands, "ui", "ui:browse", what, "dmt ui --port 5000"), "--storage", "--host", "--port")
    what = "List the methods, or describe one: what it does, and which settings can be searched."
    methods = _add(commands, "methods", "catalogue:show_methods", what, "dmt methods dmt")
    add(methods, "method")
    what = "List the recipes, or print all settings of one as YAML, which --recipe can read back."
    recipes = _add(commands, "recipes", "catalogue:show_recipes", what, "dmt recipes camvid > mine.yaml")
    add(recipes, "recipe")
    what = "Print a script that makes the shell complete commands, options, questions, recipes and methods."
    add(_add(commands, "completion", "completion:print_script", what, 'eval "$(dmt completion bash)"'), "shell")
    return top


def _add_questions(commands: Any, name: Command, what: str, example: str, words: Sequence[str] | None) -> None:
    """`dmt sweep` and `dmt ablate`, and below them what the command line names, or everything."""
    named = None if words is None else list(words[1:2]) if words[:1] == [name] else []
    known = titles(name) if named is None or (words and words[0] == name) else {}
    if named and not named[0].startswith("-"):
        questions.check(name, named[0], known)
    made = commands.add_parser(name, help=what, **help_with(f"{what}\n\n{questions.table(known)}".rstrip(), example))
    made.set_defaults(command="dmt_ray.cli.questions:show", which=name)
    group = made.add_subparsers(metavar="QUESTION", help="one of these; add --help to read its manual")
    for one in known if named is None else [word for word in named if word in known]:
        questions.add_parser(group, name, one)


def _add_results(commands: Any) -> None:
    what = "Show the state of a sweep, ablation or run: what is done, missing or failed, and how to resume it."
    status = _add(commands, "status", "status:show_status", what, "dmt status gamma_sweep")
    everything: dict[str, Any] = {
        "nargs": "?",
        "help": "sweep, ablation or run (default: list all of them, one per line)",
    }
    add(status, "name", "--storage", "--json", name=everything)
    what = "Explain what failed in a sweep or ablation, why and where, and which workers were lost."
    why = _add(commands, "why", "results:explain_faults", what, "dmt why gamma_sweep-shapes")
    add(why, "name", "--storage", "--json", name=everything)
    what = "Print the table of an ablation, and write it as Markdown, LaTeX, HTML and CSV."
    table = _add(commands, "table", "results:tabulate", what, "dmt table components")
    names: dict[str, Any] = {"nargs": "?", "help": "the ablation, such as components (default: all)"}
    out: dict[str, Any] = {"help": "folder to write to (default: tables/ in the storage folder)"}
    recipe: dict[str, Any] = {"default": None, "help": "if there are several, the newest ablation with this recipe"}
    add(table, "name", "--storage", "--out", "--recipe", name=names, out=out, recipe=recipe)
    add(table, "--reference", "--per-class", "--metrics", "--records", "--json")
    what = (
        "Draw the figures of an ablation or a sweep from its records. For those that cannot be drawn yet, say what is "
        "missing and which command computes it."
    )
    figures = _add(commands, "figures", "results:draw", what, "dmt figures components --predict --format pdf")
    out = {"help": "folder to write to (default: figures/<full name>/ in the storage folder)"}
    data = {"help": "folder of the data set, for --predict (default: the one in the records)"}
    device = {"default": None, "help": "where --predict runs the models: auto, cpu, cuda, cuda:1, ... (default: auto)"}
    add(figures, "name", "--storage", "--out", "--data", "--device", "--eval-batch", out=out, data=data, device=device)
    rows: dict[str, Any] = {
        "default": [],
        "help": "rows of an ablation to show images of (default: the reference and DMT)",
    }
    add(figures, "--only", "--metric", "--rows", "--format", "--predict", rows=rows)
    what = "Write an HTML report on an ablation or sweep: question, tables, figures, data, versions and failures."
    report = _add(commands, "report", "results:write_report", what, "dmt report components --out components.html")
    names = {"nargs": "?", "help": "sweep or ablation (default: one page for each, and an index)"}
    out = {"help": "self-contained .html file to write (default: report/<full name>.html in the storage folder)"}
    add(report, "name", "--out", "--storage", name=names, out=out)
    what = (
        "Compare two runs, rows, trials or stages: settings that differ, the first stages at which their work parts, "
        "paired differences, classes, and with --predict the pictures on which they disagree most."
    )
    compare = _add(commands, "compare", "compare:compare", what, "dmt compare components:CBST components:DMT")
    out = {"help": "self-contained .html file to write, too (default: none)"}
    add(compare, "first", "second", "--storage", "--predict", "--out", out=out)
    add(compare, "--data", "--device", "--eval-batch", data=data, device=device)
    what = "Export all scores of ablations and sweeps as one tidy table, one number per row, as Parquet or CSV."
    export = _add(commands, "export", "results:export_records", what, "dmt export components --out components.parquet")
    names = {"nargs": "?", "help": "sweep or ablation (default: all)"}
    out = {"required": True, "help": "file to write, .parquet or .csv"}
    add(export, "name", "--out", "--storage", name=names, out=out)


def _add_audits(commands: Any) -> None:
    what = (
        "Compute stages of a table again, drawn at random, and compare them with what is recorded: byte by byte on a "
        "CPU of the same kind, within a bound elsewhere. Nothing is written into the store. Run the same command again "
        "to resume; more --hours go on with the same draw. A difference ends with exit status 1."
    )
    audit = _add(commands, "audit", "audit:audit", what, "dmt audit components --hours 2")
    hours: dict[str, Any] = {"required": True}
    hours["help"] = "how long it may take, all starts together; no stage is begun that does not fit"
    seed = {"help": "seed of the draw, 0 or larger (default: 0)"}
    data = {"help": "folder of the data set (default: the one in the records, or $DMT_DATA)"}
    out = {"help": "folder to compute in (default: audits/TABLE in the storage folder; of a bundle TABLE-audit, here)"}
    device = {"help": "auto, cpu, cuda, cuda:1, ... (default: auto: of the kind that each stage was made on)"}
    changes = {"help": "of a bundle: where files outside the data set lie, such as external.masks=FOLDER"}
    special = {"seed": seed, "data": data, "out": out, "device": device, "set": changes}
    add(audit, "table", "--hours", hours=hours)
    add(audit, "--seed", "--storage", "--data", "--out", "--device", "--set", "--dry-run", **special)
    what = (
        "Write one archive with what an auditor needs who has the data and not the store: plans, records, digests, "
        "split lists, versions and the table; no pictures, no weights, no paths."
    )
    bundled = _add(commands, "bundle", "audit:write_bundle", what, "dmt bundle components --out components.tar.xz")
    table = {"help": "ablation, sweep or run: full name, the beginning of it, or folder"}
    out = {"help": ".tar.xz file to write (default: TABLE.tar.xz, here)"}
    add(bundled, "table", "--storage", "--data", "--out", table=table, data=data, out=out)


def _add_models(commands: Any) -> None:
    example = "dmt model export dmt-camvid --to onnx --out camvid-model"
    group = _group(commands, "model", "Export a trained model, or register it in MLflow.", example)
    what = (
        "Write one trained network as a folder: weights (safetensors), classes, preprocessing and a model card, as "
        "Hugging Face's hub and segmentation-models-pytorch read it; and as a graph. Nothing is uploaded."
    )
    export = _add(group, "export", "model:export_model", what, example)
    out: dict[str, Any] = {"help": "folder to write; an earlier export there is replaced (default: <name>-model here)"}
    add(export, "what", "--to", "--out", "--side", "--storage", "--tracking-uri", out=out)
    what = "Put one trained network into MLflow's registry. Repeating it makes no second version."
    example = "dmt model register dmt-camvid --name camvid --alias champion"
    register = _add(group, "register", "model:register_model", what, example)
    add(register, "what", "--name", "--alias", "--side", "--storage", "--tracking-uri")


def _add_store(commands: Any) -> None:
    group = _group(commands, "store", "List, verify or clean up the store.", "dmt store ls")
    ls = _add(group, "ls", "store:list_store", "List the stages in the store.", "dmt store ls --storage runs")
    add(ls, "--storage", "--json")
    what = "Read every byte of the store and quarantine damaged stages."
    verify = _add(group, "verify", "store:verify_store", what, "dmt store verify --share 5%%")
    add(verify, "--share", "--storage", "--shared-store")
    what = "Free disk space: delete pseudo-label maps and intermediate weights, but never metrics or histories."
    add(_add(group, "gc", "store:collect_garbage", what, "dmt store gc --budget 10GB"), "--budget", "--storage")


def _add_data(commands: Any) -> None:
    what = "Write a recipe for a folder of your images, check and show a data set, or download one."
    group = _group(commands, "data", what, "dmt data init path/to/nuclei")
    what = (
        "Look at a folder of images, say what is in it, and write a recipe that trains on it: images and masks, what "
        "the masks' values mean, sizes, split, network and epochs, with the reason beside each."
    )
    folder: dict[str, Any] = {"help": "folder of images and masks, or of a folder for each class"}
    out: dict[str, Any] = {"help": "recipe to write (default: FOLDER.yaml, here)"}
    init = _add(group, "init", "data:init_data", what, "dmt data init path/to/nuclei --out nuclei.yaml")
    add(init, "folder", "--out", folder=folder, out=out)
    example = "dmt data check --recipe camvid --data camvid/"
    what = "Check every image and mask of a data set, and summarise its contents."
    add(_add(group, "check", "data:check_data", what, example), "--recipe", "--set", "--storage", "--data")
    what = "Check a data set, and draw some of its images with their masks over them."
    show = _add(group, "show", "data:show_data", what, "dmt data show --recipe nuclei.yaml --data path/to/nuclei")
    out = {"help": "PNG, PDF or SVG file to write (default: RECIPE-images.png, here)"}
    add(show, "--recipe", "--set", "--storage", "--data", "--out", out=out)
    what = "Download the data set of a recipe: CIFAR-10 or the Oxford-IIIT Pets."
    example = "dmt data download --recipe cifar10-4000 --data data/cifar10"
    download = _add(group, "download", "data:download_data", what, example)
    add(download, "--recipe", "--set", "--data", data={"required": True, "help": "folder to unpack it into"})


def _group(commands: Any, name: str, what: str, example: str) -> Any:
    made = commands.add_parser(name, help=what, **help_with(what, example))
    return made.add_subparsers(required=True, metavar="COMMAND")


def _add(commands: Any, name: str, command: str, what: str, example: str) -> argparse.ArgumentParser:
    """A command; `command` names its function in this package, as in "run:plan_method"."""
    made: argparse.ArgumentParser = commands.add_parser(name, help=what, **help_with(what, example))
    made.set_defaults(command=f"dmt_ray.cli.{command}")
    return made
