"""Tables of the reference, made from the code: commands, options, settings, recipes, methods, searches, ablations."""

import argparse
import inspect
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, get_args

import dmt_ray
from dmt_ray.cli.documents import DOCUMENTS, Document
from dmt_ray.cli.exit_codes import ExitCode
from dmt_ray.cli.main import parser
from dmt_ray.config import (
    DATA_SETS,
    Augment,
    Config,
    Consistency,
    DataSettings,
    External,
    Split,
    Task,
    Training,
    WeightSettings,
)
from dmt_ray.config.experiment import TRAININGS
from dmt_ray.config.reference import SettingRow, settings
from dmt_ray.errors import ConfigError
from dmt_ray.experiments import questions
from dmt_ray.methods import METHODS, configure, space_of
from dmt_ray.recipes import RECIPES, named

ROOT = Path(__file__).parents[2]
FILLED_IN = ("recipe", "fingerprint", "weights_digest", "list_digest", "padding")  # by the program
TASKS: dict[Task, str] = {"segmentation": "shapes", "classification": "digits"}  # task -> the built-in recipe for it


# -- commands and options ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Command:
    """What one command line offers.

    Attributes:
        name: What is typed, as "dmt store ls".
        text: What it does.
        examples: Its examples, a line each.
        arguments: Its arguments and options with their help texts.
    """

    name: str
    text: str
    examples: str
    arguments: Sequence[tuple[argparse.Action, str]]

    @property
    def options(self) -> list[tuple[str, argparse.Action, str]]:
        """Option, how argparse knows it, its help text."""
        return [(action.option_strings[-1], action, text) for action, text in self.arguments if action.option_strings]


def commands() -> list[Command]:
    """All commands. The questions of `dmt sweep` and `dmt ablate` have one command line each, told once."""
    found = []
    for name, of in _below("dmt", parser()):
        text, _, examples = (of.description or "").partition("\n\nexample")
        text = text.partition("\n\nquestions:")[0]
        arguments = _arguments(of)
        inner = subparsers(of)
        if inner:  # questions
            name, seen = f"{name} QUESTION", {action.dest for action, _ in arguments}
            for question in inner.values():
                arguments += [each for each in _arguments(question) if each[0].dest not in seen]
                seen |= {action.dest for action, _ in arguments}
        found.append(Command(name, text, inspect.cleandoc(examples.partition(":\n")[2]), arguments))
    return found


def _below(name: str, of: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for word, inner in subparsers(of).items():
        groups = subparsers(inner)
        if groups and inner.get_default("command") is None:  # it needs another word, as `dmt store` does
            yield from _below(f"{name} {word}", inner)
        else:
            yield f"{name} {word}", inner


def subparsers(of: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The commands below a parser by name."""
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _arguments(of: argparse.ArgumentParser) -> list[tuple[argparse.Action, str]]:
    """Arguments and options of a parser with their help texts, without --help and the words of further commands."""
    skipped = (argparse._HelpAction, argparse._SubParsersAction)
    shown = [a for a in of._actions if not isinstance(a, skipped) and a.help is not argparse.SUPPRESS]
    return [(action, (action.help or "") % {**vars(action), "prog": of.prog}) for action in shown]


def write_commands() -> str:
    """A section for each command: what it does, its arguments, its options, examples."""
    parts = []
    for command in commands():
        parts.append(f"## {command.name} {{ #{_slug(command.name)} }}\n\n{_cell(command.text)}\n")
        for action, text in command.arguments:
            if not action.option_strings:
                parts.append(f"`{_shown(action)}`: {_cell(text)}.\n")
        if command.options:
            links = (f"[`{option}`](options.md#{_anchor(option)})" for option, _, _ in command.options)
            parts.append(f"Options: {', '.join(links)}.\n")
        if command.examples:
            parts.append(f"```sh\n{command.examples}\n```\n")
    return "\n".join(parts)


def write_options() -> str:
    """Every option once: its value, what it means, and the commands that take it."""
    uses: dict[str, list[tuple[str, argparse.Action, str]]] = {}
    for command in commands():
        for option, action, text in command.options:
            uses.setdefault(option, []).append((command.name, action, text))
    parts = []
    for option, takers in sorted(uses.items()):
        ((main, _),) = Counter(text for _, _, text in takers).most_common(1)
        action = next(action for _, action, text in takers if text == main)
        parts.append(f"## `{_shown(action)}` {{ #{_anchor(option)} }}\n\n{_sentence(main)}\n")
        others = {text: [f"`{name}`" for name, _, each in takers if each == text] for _, _, text in takers}
        parts += [f"With {', '.join(names)}: {_cell(text)}.\n" for text, names in others.items() if text != main]
        links = (f"[`{name}`](commands.md#{_slug(name)})" for name, _, _ in takers)
        parts.append(f"Taken by {', '.join(links)}.\n")
    return "\n".join(parts)


def _shown(action: argparse.Action) -> str:
    """An argument as it is typed: --seeds SEED [SEED ...], NAME, --format {png,pdf}."""
    names = ", ".join(action.option_strings)
    if action.nargs == 0:
        return names
    choices = "{" + ",".join(map(str, action.choices)) + "}" if action.choices is not None else ""
    value = str(action.metavar or choices or action.dest.upper())
    value = {"+": f"{value} [{value} ...]", "*": f"[{value} ...]", "?": f"[{value}]"}.get(str(action.nargs), value)
    return f"{names} {value}".strip()


def _anchor(option: str) -> str:
    return f"option{option.replace('--', '-')}"


def _slug(name: str) -> str:
    return name.lower().replace(" ", "-")


# -- settings ---------------------------------------------------------------------------------------------------------


def write_settings() -> str:
    """A table for each group of settings: name, meaning, default, values."""
    parts = []
    for heading, text, rows in _groups(settings()):
        parts.append(f"## {heading}\n\n{text}\n")
        lines = [
            f"| `{row.name}` | {_cell(row.meaning)} | {f'`{row.default}`' if row.default else 'of the recipe'} | "
            f"{_cell(', '.join(filter(None, (row.type, row.range))))} |"
            for row in rows
        ]
        parts.append("| setting | meaning | default | values |\n|---|---|---|---|\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def _groups(rows: Sequence[SettingRow]) -> Iterator[tuple[str, str, list[SettingRow]]]:
    """Heading, text and rows of each table."""
    shown = [row for row in rows if row.name.split(".")[-1] not in FILLED_IN]
    trainings = ", ".join(f"`{name}`" for name in TRAININGS)

    def beginning(prefix: str, of: str = "") -> list[SettingRow]:
        return [row for row in shown if row.name.rpartition(".")[0] == prefix and row.of == of]

    yield "The experiment", "What a method does.", beginning("")
    yield "Data", "For all data sets. [Data](data.md) describes each of them.", beginning("data")
    for name in DATA_SETS:
        if own := beginning("data", name):
            yield f"Data set `{name}`", _paragraphs(_doc(DataSettings.kind(name))), own
    yield "Split", _paragraphs(_doc(Split)), beginning("split")
    text = "The network of model A and, where `model_b` is not set, of model B. [Networks](networks.md) lists them."
    yield "Networks", f"{text} `model_b.encoder` and so on are those of model B.", beginning("model")
    yield "Trainings", f"TRAINING stands for one of {trainings}.", beginning("TRAINING")
    yield "Augmentation of a training", _paragraphs(_doc(Augment)), beginning("TRAINING.augment")
    yield "Weight rules", "How much a pseudo label counts in the loss.", beginning("weight")
    for name, kind in weight_rules().items():
        if own := beginning("weight", name):
            yield f"Weight rule `{name}`", _paragraphs(_doc(kind)), own
    yield "Consistency with a teacher", _paragraphs(_doc(Consistency)), beginning("consistency")
    yield "Labels from elsewhere", _paragraphs(_doc(External)), beginning("external")


def weight_rules() -> dict[str, type[WeightSettings]]:
    """Weight rule -> the class of its settings."""
    return {str(kind.model_fields["rule"].default): kind for kind in WeightSettings.__subclasses__()}


# -- recipes, methods, searches, ablations -----------------------------------------------------------------------------


def write_recipes() -> str:
    """A table of all recipes with what tells them apart."""
    rows = []
    for name, recipe in RECIPES.items():
        config, labelled = named(name), named(name).split.labelled
        images = f"1/{1 / labelled:.4g} labelled" if isinstance(labelled, float) else f"{labelled} labelled"
        main = _main(config)
        size = f"{' × '.join(map(str, main.augment.crop))}; {' + '.join(map(str, main.batch))}"
        rows.append(
            f"| `{name}` | {_cell(_first(recipe))} | `{config.data.name}`, {images} | {_network(config)}; {size} |"
        )
    head = "| recipe | what it is | data set | network; crop; labelled + pseudo-labelled images of a batch |\n"
    return head + "|---|---|---|---|\n" + "\n".join(rows) + "\n"


def _network(config: Config) -> str:
    model = config.model
    return model.architecture + (f" on `{model.encoder}`" if model.encoder != "none" else "")


def _main(config: Config) -> Training:
    """The training on pseudo labels that DMT performs on such data."""
    return config.retrain or config.online if config.data.task == "classification" else config.finetune


def write_methods() -> str:
    """A table of all methods: what each does, its task, what can be searched in it."""
    rows = []
    for name, method in METHODS.items():
        tasks = [task for task in TASKS if _suits(name, task)]
        spaces = dict.fromkeys(setting for task in tasks for setting in space_of(name, task))
        searched = ", ".join(f"`{setting}`" for setting in spaces)
        rows.append(f"| `{name}` | {_cell(_first(method))} | {' and '.join(tasks)} | {searched} |")
    return "| method | what it does | for | can be searched |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"


def _suits(name: str, task: Task) -> bool:
    """Whether a method makes a plan for such data."""
    config = named(TASKS[task])
    try:
        METHODS[name](configure(METHODS[name], config, {}), 0)
    except ConfigError:
        return False
    return True


def _questions(command: questions.Command) -> str:
    rows = [f"| `{name}` | {_cell(text)} |" for name, text in questions.titles(command).items()]
    return "| question | asks |\n|---|---|\n" + "\n".join(rows) + "\n"


def write_exit_codes() -> str:
    """What the exit status of a command means."""
    rows = [f"| {code.value} | {_sentence(code.meaning)} |" for code in ExitCode]
    return "| status | means |\n|---|---|\n" + "\n".join(rows) + "\n"


# -- JSON output ------------------------------------------------------------------------------------------------------


def write_json() -> str:
    """What each `--json` prints: a table for every object in it."""
    parts = []
    for command, document in DOCUMENTS.items():
        parts.append(f"## {command} --json\n")
        for kind in _objects(document):
            if kind is not document:
                anchor = f"{_slug(command)}-{kind.__name__.lower()}"
                parts.append(f"### {kind.__name__} {{ #{anchor} }}\n\n{_paragraphs(_doc(kind))}\n")
            rows = [
                f"| `{name}` | {_cell(_json_type(field.annotation))} | {_cell(field.description or '')} |"
                for name, field in kind.model_fields.items()
            ]
            parts.append("| field | holds | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _objects(document: type[Document]) -> list[type[Document]]:
    """A document and the objects in it, each once."""
    found = [document]
    for field in document.model_fields.values():
        inner = [each for each in _classes(field.annotation) if isinstance(each, type) and issubclass(each, Document)]
        found += [deeper for each in inner for deeper in _objects(each) if deeper not in found]
    return found


def _json_type(annotation: Any) -> str:
    """A type in JSON's words, as "list of PlannedStage, or null"."""
    origin, inner = getattr(annotation, "__origin__", None), get_args(annotation)
    plain = {str: "text", int: "whole number", float: "number", bool: "true or false", type(None): "null"}
    if origin is list:
        return f"list of {_json_type(inner[0])}"
    if origin is dict:
        return f"object: {_json_type(inner[0])} to {_json_type(inner[1])}"
    if str(origin) == "typing.Literal":
        return ", ".join(f"`{value}`" for value in inner)
    if inner:
        return " or ".join(map(_json_type, inner))
    return plain.get(annotation) or str(annotation.__name__)


def _classes(annotation: Any) -> set[Any]:
    return {annotation, *(inner for each in get_args(annotation) for inner in _classes(each))}


def _doc(kind: type[Any]) -> str:
    return inspect.getdoc(kind) or ""


# -- the Python API ---------------------------------------------------------------------------------------------------


def api() -> dict[str, str]:
    """A page for the names of `dmt_ray` itself and one for each package, which mkdocstrings fills with docstrings."""
    pages = {"dmt_ray": _face()}
    for package in sorted((ROOT / "dmt_ray").glob("*/__init__.py")):
        name = package.parent.name
        if name == "cli":  # commands.md and options.md have what it offers
            continue
        modules = [f"dmt_ray.{name}"]
        modules += [".".join(each.relative_to(ROOT).with_suffix("").parts) for each in _modules(package.parent)]
        text = "\n\n".join(f"## {module}\n\n::: {module}" for module in modules)
        pages[name] = f"# dmt_ray.{name}\n\n{text}\n"
    return pages


def _face() -> str:
    """The names that `import dmt_ray` offers, each with what it is."""
    parts = ["# dmt_ray", "Each name is imported when it is first used."]
    for name in dmt_ray.__all__:
        options = {"show_root_heading": "true", "show_root_full_path": "false", "heading_level": "2"}
        if isinstance(getattr(dmt_ray, name), Mapping):  # `dmt recipes` and `dmt methods` list what is in it
            options["show_attribute_values"] = "false"
        lines = "".join(f"\n      {option}: {value}" for option, value in options.items())
        parts.append(f"::: dmt_ray.{name}\n    options:{lines}")
    return "\n\n".join(parts) + "\n"


def _modules(folder: Path) -> list[Path]:
    """The modules of a package; a package inside it counts as one, by its name."""
    found = [path for path in sorted(folder.rglob("*.py")) if path.parent != folder or path.name != "__init__.py"]
    return [path.parent if path.name == "__init__.py" else path for path in found]


# -- text -------------------------------------------------------------------------------------------------------------


def _first(function: Callable[..., Any]) -> str:
    return (function.__doc__ or "").strip().partition("\n")[0]


def _paragraphs(text: str) -> str:
    return re.sub(r"\n*(Attributes|Raises|Args):\n.*", "", text, flags=re.DOTALL)


def _sentence(text: str) -> str:
    """A help text, which begins small and has no full stop, as a sentence."""
    cell = _cell(text)
    start = cell[:1] if re.match(r"[\w-]+:", cell) else cell[:1].upper()  # a value that is explained stays as it is
    return f"{start}{cell[1:]}."


def _cell(text: str) -> str:
    """Text for a table's cell: one line; what reads like markup is taken as it stands."""
    pieces = re.split(r"(`[^`]*`)", " ".join(text.split()))
    plain = [
        each if each.startswith("`") else re.sub(r"([|*_])", r"\\\1", escape(each, quote=False)) for each in pieces
    ]
    cell = "".join(each.replace("|", r"\|") if each.startswith("`") else each for each in plain)
    return re.sub(r"\bdocs/([\w/-]+)\.md", r"[this page](../\1.md)", cell)


GENERATED: dict[str, Callable[[], str]] = {
    "commands": write_commands,
    "options": write_options,
    "settings": write_settings,
    "recipes": write_recipes,
    "methods": write_methods,
    "searches": lambda: _questions("sweep"),
    "ablations": lambda: _questions("ablate"),
    "exit_codes": write_exit_codes,
    "json": write_json,
}
"""Marker on a page -> what takes its place."""
