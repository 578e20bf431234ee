"""What all commands share: options, and errors that end in one line and exit status 2 instead of a traceback."""

import argparse
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dmt_ray.errors import ConfigError, Interrupted, UserError
from dmt_ray.tracking.connection import without_password

STORAGE = Path("runs")
STALL_SECONDS = 1800.0  # without progress, after which a worker is taken to hang


def guarded(main: Callable[[], int | None]) -> int:
    """Run a command; errors that a person can act on are printed in one line.

    Returns:
        The exit status: the command's own, 2 after a UserError, 130 after Ctrl-C, 143 after SIGTERM in a stage.
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


def command_line(*words: str) -> str:
    """A command as it can be typed again, for records and pages: without the password of a URI."""
    return shlex.join(without_password(word) for word in words)


def help_with(what: str, example: str) -> dict[str, Any]:
    """Arguments of an ArgumentParser whose help says what a command does and ends with an example."""
    return {
        "description": what,
        "epilog": f"example:\n  {example}",
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }


def add_experiment(options: argparse.ArgumentParser, recipe: str = "shapes") -> None:
    """Options that say what is computed."""
    what = f"recipe, or a YAML file (default: {recipe})"
    options.add_argument("--recipe", default=recipe, metavar="NAME", help=what)
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


def add_shared_store(options: argparse.ArgumentParser) -> None:
    """The object store that machines share."""
    options.add_argument(
        "--shared-store",
        metavar="URL",
        help="object store in which machines share their stages, as s3://bucket/prefix; the storage folder is then "
        "each machine's own (default: all machines see the storage folder)",
    )


def add_address(options: argparse.ArgumentParser) -> None:
    """The Ray cluster."""
    options.add_argument(
        "--address",
        metavar="ADDRESS",
        help="auto: the Ray cluster that runs on this machine; host:port: that one; storage and data must then be "
        "folders that all its machines see under the same path (default: a local Ray)",
    )


def add_workers(options: argparse.ArgumentParser) -> None:
    """The workers that train a plan's models together."""
    options.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="workers that train one plan together, with Ray Train: half of them model A, half of them model B, in "
        "every half data-parallel; the numbers do not depend on it (default: 1)",
    )
    options.add_argument(
        "--gpus-per-worker",
        type=float,
        metavar="X",
        help="0: on the CPU; 0.25: four workers share a GPU (default: 1 where there are GPUs)",
    )
    options.add_argument(
        "--cpus-per-worker", type=int, default=1, metavar="N", help="CPUs and threads of a worker (default: 1)"
    )
    options.add_argument(
        "--compile", action="store_true", help="put networks through torch.compile: slow to begin with, faster later"
    )


def check_workers(options: argparse.Namespace) -> None:
    """Refuse numbers of workers, GPUs and CPUs that can never be, whatever the cluster has.

    Raises:
        ConfigError: With what would do.
    """
    gpus = options.gpus_per_worker
    if gpus is not None and not 0 <= gpus <= 1:
        raise ConfigError(f"--gpus-per-worker must be between 0 and 1, as a worker uses one GPU, but got {gpus:g}")
    if options.cpus_per_worker < 1:
        raise ConfigError(f"--cpus-per-worker must be 1 or more, but got {options.cpus_per_worker}")
    if options.workers < 1 or (options.workers > 1 and options.workers % 2):
        fitting = (
            [str(n) for n in (options.workers - 1, options.workers + 1) if n > 0] if options.workers > 1 else ["1"]
        )
        raise ConfigError(
            f"--workers must be 1 or an even number, one half for each model, but got {options.workers}; "
            f"{' or '.join(fitting)} would do"
        )


def add_tracking(options: argparse.ArgumentParser) -> None:
    """The MLflow to publish to."""
    options.add_argument("--tracking-uri", metavar="URI", help="MLflow (default: mlflow.db in the storage folder)")
