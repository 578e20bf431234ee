"""Every option of every command line, declared once; and errors that end in one line instead of a traceback."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from dmt_ray.errors import Interrupted, UserError
from dmt_ray.execution.options import Options
from dmt_ray.files import system_error

STORAGE = Path("runs")
SAMPLERS = ("grid", "random", "tpe", "gp")
PRUNERS = ("median", "wilcoxon", "none")
GRID = 5  # values of a range, where a grid is requested without a number
Some = TypeVar("Some", bound=Options)

_OPTIONS: Mapping[str, dict[str, Any]] = {
    # what is computed
    "--recipe": {"default": "shapes", "metavar": "NAME", "help": "recipe, or a YAML file (default: %(default)s)"},
    "--set": {
        "action": "append",
        "default": [],
        "dest": "changes",
        "metavar": "SETTING=VALUE",
        "help": "override a setting of the recipe, as in finetune.epochs=3; may be repeated",
    },
    "--method": {"default": "dmt", "metavar": "NAME", "help": "see `dmt methods` (default: %(default)s)"},
    "--seed": {"type": int, "default": 0, "help": "seed, from 0 on (default: 0)"},
    "--seeds": {"type": int, "nargs": "+", "metavar": "SEED"},
    "--dry-run": {"action": "store_true", "help": "say what would be done and what it costs, and stop"},
    # where it is
    "--storage": {"type": Path, "default": STORAGE, "metavar": "DIR", "help": "folder of the results (default: runs)"},
    "--data": {
        "type": Path,
        "metavar": "DIR",
        "help": "folder of the data set (default: below the variable DMT_DATA)",
    },
    "--shared-store": {
        "dest": "shared",
        "metavar": "URL",
        "help": "object store in which machines share their stages, as s3://bucket/prefix; the storage folder is then "
        "each machine's own (default: all machines see the storage folder)",
    },
    "--tracking-uri": {"metavar": "URI", "help": "MLflow (default: mlflow.db in the storage folder)"},
    "--out": {"type": Path, "metavar": "PATH"},
    # who performs it
    "--device": {"default": "auto", "help": "auto, cpu, cuda, cuda:1, ... (default: auto)"},
    "--threads": {
        "type": int,
        "default": os.cpu_count(),
        "help": "CPU threads of a single worker (default: all cores)",
    },
    "--address": {
        "metavar": "ADDRESS",
        "help": "auto: the Ray cluster that runs on this machine; host:port: that one; storage and data must then be "
        "folders that all its machines see under the same path (default: a local Ray)",
    },
    "--max-concurrent": {"type": int, "dest": "concurrent", "metavar": "N"},
    "--workers": {
        "type": int,
        "default": 1,
        "metavar": "N",
        "help": "workers that train one plan together, with Ray Train: half of them model A, half of them model B, in "
        "every half data-parallel; the numbers do not depend on it (default: 1)",
    },
    "--gpus-per-worker": {
        "type": float,
        "dest": "gpus",
        "metavar": "X",
        "help": "0: on the CPU; 0.25: four workers share a GPU (default: 1 where there are GPUs)",
    },
    "--cpus-per-worker": {
        "type": int,
        "default": 1,
        "dest": "cpus",
        "metavar": "N",
        "help": "CPUs and threads of a worker (default: 1)",
    },
    "--compile": {
        "action": "store_true",
        "dest": "compiled",
        "help": "put networks through torch.compile: slow to begin with, faster later",
    },
    "--stall-limit": {
        "type": float,
        "default": 1800.0,
        "dest": "stall_seconds",
        "metavar": "SECONDS",
        "help": "a worker that makes no progress for so long counts as hanging, and is replaced (default: 1800)",
    },
    # how a search goes
    "--trials": {"type": int, "metavar": "N", "help": "trials in all, with those of earlier starts"},
    "--sampler": {"choices": SAMPLERS, "help": "who proposes points; grid: all points in place of a search"},
    "--grid": {
        "type": int,
        "metavar": "G",
        "help": f"a grid of G values per range, and all choices (grid alone: {GRID})",
    },
    "--pruner": {
        "choices": PRUNERS,
        "help": "median: stop a trial between rungs where others were better; wilcoxon: seed by seed, stop what loses "
        "split after split against the best trial; a grid and a search with two objectives are never pruned "
        "(default: median)",
    },
    "--second": {
        "choices": ("compute",),
        "help": "a second objective: fewer optimizer steps, summed over the models",
    },
    "--confirm": {
        "type": int,
        "nargs": "+",
        "default": [],
        "metavar": "SEED",
        "help": "after the search run its best trial and the recipe again on these fresh seeds, and show both",
    },
    "--fresh": {
        "action": "store_true",
        "help": "keep the old study under another name and start anew; stages are reused",
    },
    # what of the results
    "--rows": {"nargs": "+", "metavar": "ROW", "help": "only these rows, and the reference (default: all)"},
}
OF_EXPERIMENTS = (
    *("--recipe", "--set", "--seeds", "--storage", "--data", "--shared-store", "--tracking-uri", "--address"),
    *("--max-concurrent", "--workers", "--gpus-per-worker", "--cpus-per-worker", "--compile", "--stall-limit"),
    "--dry-run",
)
"""What sweeps and ablations have in common."""
OF_SEARCHES = ("--trials", "--sampler", "--grid", "--pruner", "--second", "--confirm", "--fresh")


def add(parser: argparse.ArgumentParser, *names: str, **overrides: dict[str, Any]) -> None:
    """Add options by name; `overrides` say what is special of one here, as in ``seeds={"default": [0]}``."""
    for name in names:
        special = overrides.get(name.lstrip("-").replace("-", "_"), {})
        parser.add_argument(name, **_OPTIONS[name] | special)


def read(kind: type[Some], options: argparse.Namespace, **further: Any) -> Some:
    """The options of a command line as a value of their class.

    Raises:
        ConfigError: If they contradict each other.
    """
    given = {name: value for name, value in vars(options).items() if name in {each.name for each in fields(kind)}}
    given |= {name: Path(os.path.abspath(given[name])) for name in ("storage", "data") if given.get(name) is not None}
    given |= {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
    return kind(**given | further)


def help_with(what: str, example: str) -> dict[str, Any]:
    """Arguments of an ArgumentParser whose help says what a command does and ends with an example."""
    return manual(f"{what}\n\nexample:\n  {example}")


def manual(text: str | None) -> dict[str, Any]:
    """Arguments of an ArgumentParser whose help begins with a text as it stands."""
    return {
        "description": text,
        "formatter_class": argparse.RawDescriptionHelpFormatter,
        "allow_abbrev": False,
    }


def guarded(main: Callable[[], int | None]) -> int:
    """Run a command; errors that a person can act on are printed in one line.

    Returns:
        The exit status: the command's own, 2 after a UserError or where the operating system refused something, 130
        after Ctrl-C, 143 after SIGTERM in a stage.
    """
    try:
        return main() or 0
    except Interrupted as error:
        print(f"\nStopped: {error} when the same command is started again.", file=sys.stderr)
        return 143
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "\nStopped. Everything that was finished is kept: start the same command again to go on.", file=sys.stderr
        )
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        reason = system_error(error)
        if reason is None:
            raise
        print(f"error: {reason} Everything that was finished is kept.", file=sys.stderr)
        return 2
