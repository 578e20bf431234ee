"""What all commands share: options, and errors that end in one line and exit status 2 instead of a traceback."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dmt_ray.errors import UserError

STORAGE = Path("runs")


def guarded(main: Callable[[], int | None]) -> int:
    """Run a command; errors that a person can act on are printed in one line.

    Returns:
        The exit status: the command's own, 2 after a UserError, 130 after Ctrl-C.
    """
    try:
        return main() or 0
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


def help_with(what: str, example: str) -> dict[str, Any]:
    """Arguments of an ArgumentParser whose help says what a command does and ends with an example."""
    return {
        "description": what,
        "epilog": f"example:\n  {example}",
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }


def add_experiment(options: argparse.ArgumentParser) -> None:
    """Options that say what is computed."""
    options.add_argument("--recipe", default="shapes", metavar="NAME", help="recipe, or a YAML file (default: shapes)")
    options.add_argument(
        "--set",
        action="append",
        default=[],
        dest="changes",
        metavar="SETTING=VALUE",
        help="override a setting of the recipe, as in finetune.epochs=3; may be repeated",
    )


def add_machine(options: argparse.ArgumentParser) -> None:
    """Options that say where it is computed."""
    add_storage(options)
    options.add_argument(
        "--data", type=Path, metavar="DIR", help="folder of the data set (default: below the variable DMT_DATA)"
    )
    options.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default: auto)")


def add_storage(options: argparse.ArgumentParser) -> None:
    """The folder that everything is kept in."""
    options.add_argument(
        "--storage", type=Path, default=STORAGE, metavar="DIR", help="folder of the results (default: runs)"
    )


def add_tracking(options: argparse.ArgumentParser) -> None:
    """The MLflow to publish to."""
    options.add_argument("--tracking-uri", metavar="URI", help="MLflow (default: mlflow.db in the storage folder)")
