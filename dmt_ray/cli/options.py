"""Parsers of command lines, whose options mean the same wherever they stand; and user errors shown as one line.

No other file calls `add_argument`: a test holds that.
"""

import argparse
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from dmt_ray.cli.declared import OPTIONS, STORAGE
from dmt_ray.cli.exit_codes import ExitCode
from dmt_ray.errors import ConfigError, Interrupted, UserError
from dmt_ray.execution.interruption import TERMINATED
from dmt_ray.execution.options import Options
from dmt_ray.experiments.commands import runnable
from dmt_ray.files import system_error


class Parser(argparse.ArgumentParser):
    """A parser that suggests the command or option that a misspelt one may have been meant for."""

    _words: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Report unknown arguments here and not in the parser above, which does not know this one's options."""
        self._words = sys.argv[1:] if args is None else list(args)
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return known, unknown

    def error(self, message: str) -> NoReturn:
        """Print usage and message, with a suggestion, and exit with status 2."""
        super().error(f"{message.partition(' (choose from ')[0]}; {hint}" if (hint := self._hint(message)) else message)

    def _hint(self, message: str) -> str:
        from dmt_ray.config.settings import close_to  # not needed for --help

        # What other commands take as --model.
        takes_model = any(action.dest == "what" and not action.option_strings for action in self._actions)
        if takes_model and "--model" in (word.partition("=")[0] for word in self._words):
            return "the model stands without an option, in place of WHAT"
        if found := re.search(r"invalid choice: '?(\S+?)'? \(choose from (.*)\)$", message):
            word, known = found[1], re.findall(r"[^\s,']+", found[2])
        elif found := re.match(r"unrecognized arguments:.*? (--[a-z-]+)", message):
            word, known = found[1], re.findall(r"--[a-z-]+", self.format_usage())
        else:
            return ""
        return f"did you mean {close[0]!r}?" if (close := close_to(word, known)) else ""


Some = TypeVar("Some", bound=Options)


def add(parser: argparse.ArgumentParser, *names: str, **overrides: dict[str, Any]) -> None:
    """Add options by name; `overrides` say what is special of one here, as in ``seeds={"default": [0]}``."""
    for name in names:
        special = overrides.get(name.lstrip("-").replace("-", "_"), {})
        action = parser.add_argument(name, **OPTIONS[name] | special)
        if name in _COMPLETERS:
            action.completer = _COMPLETERS[name]  # type: ignore[attr-defined]  # where argcomplete looks for it


def _recipes(prefix: str, **_: Any) -> Iterable[str]:
    from argcomplete.completers import FilesCompleter

    from dmt_ray.recipes import RECIPES

    return [*RECIPES, *FilesCompleter(("yaml", "yml"))(prefix)]


def _methods(**_: Any) -> Iterable[str]:
    from dmt_ray.methods import METHODS

    return METHODS


def _experiments(parsed_args: argparse.Namespace, **_: Any) -> Iterable[str]:
    from dmt_ray.experiments.locate import all_folders

    return [folder.name for folder in all_folders(getattr(parsed_args, "storage", STORAGE))]


_COMPLETERS: Mapping[str, Callable[..., Iterable[str]]] = {
    "--recipe": _recipes,
    "recipe": _recipes,
    "--method": _methods,
    "method": _methods,
    "name": _experiments,
    "table": _experiments,
}
"""What the shell completes an option's value with; where there is nothing here, with the names of files."""


def read(kind: type[Some], options: argparse.Namespace, **further: Any) -> Some:
    """The options of a command line as a value of their class; paths are absolute.

    Raises:
        ConfigError: If they contradict each other.
    """
    given = {name: value for name, value in vars(options).items() if name in {each.name for each in fields(kind)}}
    given |= {name: Path(os.path.abspath(given[name])) for name in ("storage", "data") if given.get(name) is not None}
    given |= {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
    return kind(**given | further)


def absolute_files(options: argparse.Namespace) -> None:
    """Make the files that recipe and overrides name absolute: commands that repeat the work run from any folder."""
    if options.recipe.endswith((".yaml", ".yml")) and Path(options.recipe).is_file():
        options.recipe = os.path.abspath(options.recipe)
    options.changes = [_FILE.sub(lambda match: match[1] + os.path.abspath(match[2]), one) for one in options.changes]


_FILE = re.compile(r"^((?:(?:model|model_b)\.weights_file|external\.(?:masks|confidence))=)(?!null$)(.+)$")


def ignored(reason: str, options: argparse.Namespace, **names: str) -> None:
    """Refuse options that would be ignored.

    Args:
        reason: What they are for, such as "is for --predict".
        options: What was given.
        names: Attribute -> option of each of them; without the option it is None, False or [].

    Raises:
        ConfigError: If one was given.
    """
    values = {name: getattr(options, attribute) for attribute, name in names.items()}
    given = [name for name, value in values.items() if value not in (None, False, [])]
    if given:
        raise ConfigError(f"{' and '.join(given)} {reason}")


def help_with(what: str, *examples: str) -> dict[str, Any]:
    """Arguments of an ArgumentParser whose help says what a command does and ends with an example."""
    title = "example" if len(examples) == 1 else "examples"
    return manual("\n  ".join([f"{what}\n\n{title}:", *examples]))


def manual(text: str | None) -> dict[str, Any]:
    """Arguments of an ArgumentParser whose help begins with a text as it stands."""
    return {
        "description": text,
        "formatter_class": argparse.RawDescriptionHelpFormatter,
        "allow_abbrev": False,
    }


def begin(text: str) -> None:
    """Say what is being done before slow imports begin."""
    print(text, file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """Print a warning on standard error."""
    print(f"warning: {text}", file=sys.stderr, flush=True)


def guarded(main: Callable[[], int | None]) -> int:
    """Run a command; errors that a person can act on are printed in one line.

    Returns:
        The exit status, as `ExitCode` names them.
    """
    if logging.lastResort is not None:
        logging.lastResort.addFilter(_for_people)
    try:
        return main() or ExitCode.DONE
    except Interrupted as error:
        print(f"\nStopped: {error} when you run the same command again.", file=sys.stderr)
        return ExitCode.TERMINATED
    except UserError as error:
        print(f"error: {runnable(str(error))}", file=sys.stderr)
        return ExitCode.USER_ERROR
    except KeyboardInterrupt as error:
        kept = runnable(str(error)) or "All finished work is kept: run the same command again to resume."
        print(f"\nStopped. {kept}", file=sys.stderr)
        return ExitCode.TERMINATED if TERMINATED.is_set() else ExitCode.INTERRUPTED
    except BrokenPipeError:  # the reader, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.DONE
    except Exception as error:
        reason = system_error(error)
        if reason is None:
            raise
        print(f"error: {reason} All finished work is kept.", file=sys.stderr)
        return ExitCode.USER_ERROR


def _for_people(record: logging.LogRecord) -> bool:
    """What is logged looks as `warn` prints it, with commands that can be run."""
    record.msg, record.args = f"{record.levelname.lower()}: {runnable(record.getMessage())}", None
    return True
