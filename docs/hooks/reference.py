"""Tables of the reference, made from the code: commands, options, settings, recipes, methods, searches, ablations."""

import argparse
import ast
import inspect
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic.fields import FieldInfo

from dmt_ray.cli.main import parser
from dmt_ray.config import DATA_SETS, Augment, Config, Consistency, DataSettings, Model, Split, Training, WeightSettings
from dmt_ray.errors import ConfigError
from dmt_ray.methods import METHODS, configure, space_of
from dmt_ray.recipes import RECIPES, named

ROOT = Path(__file__).parents[2]
TASKS = {"segmentation": "shapes", "classification": "digits"}  # task -> the built-in recipe for it


# -- commands and options ---------------------------------------------------------------------------------------------


def commands(top: argparse.ArgumentParser | None = None) -> dict[str, argparse.ArgumentParser]:
    """All commands that do something, by what is typed: "dmt store ls" -> its parser."""
    top = top or parser()
    found: dict[str, argparse.ArgumentParser] = {}
    for name, inner in subparsers(top).items():
        deeper = commands(inner)
        if not deeper or not _needs_command(inner):
            found[f"dmt {name}"] = inner
        found |= {f"dmt {name} {rest.removeprefix('dmt ')}": each for rest, each in deeper.items()}
    return found


def subparsers(of: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The commands below a parser by name."""
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _needs_command(of: argparse.ArgumentParser) -> bool:
    return any(isinstance(action, argparse._SubParsersAction) and action.required for action in of._actions)


def arguments_of(of: argparse.ArgumentParser) -> list[argparse.Action]:
    """Arguments and options of a command, without --help and hidden ones."""
    skipped = (argparse._HelpAction, argparse._SubParsersAction)
    return [a for a in of._actions if not isinstance(a, skipped) and a.help is not argparse.SUPPRESS]


def help_of(action: argparse.Action, of: argparse.ArgumentParser) -> str:
    """The help text of an option with its placeholders filled in."""
    values = {name: value for name, value in vars(action).items() if value is not argparse.SUPPRESS}
    return (action.help or "") % {**values, "prog": of.prog}


def write_commands() -> str:
    """A section for each command: what it does, its arguments, its options, an example."""
    parts = []
    for name, of in commands().items():
        text, _, example = (of.description or "").partition("\n\nexample:\n")
        parts.append(f"## {name}\n\n{_paragraphs(text)}\n")
        plain = [action for action in arguments_of(of) if not action.option_strings]
        for action in plain:
            parts.append(f"`{_shown(action)}`: {_cell(help_of(action, of))}.\n")
        links = [_option_link(action) for action in arguments_of(of) if action.option_strings]
        if links:
            parts.append(f"Options: {', '.join(links)}.\n")
        if example:
            parts.append(f"```sh\n{inspect.cleandoc(example)}\n```\n")
    return "\n".join(parts)


def write_options() -> str:
    """Every option once: its value, what it means, and the commands that take it."""
    meanings: dict[str, list[tuple[str, str, argparse.Action]]] = {}
    for name, of in commands().items():
        for action in arguments_of(of):
            if action.option_strings:
                meanings.setdefault(action.option_strings[-1], []).append((name, help_of(action, of), action))
    parts = []
    for option, uses in sorted(meanings.items()):
        ((main, _),) = Counter(text for _, text, _ in uses).most_common(1)
        action = next(action for _, text, action in uses if text == main)
        parts.append(f"## `{_shown(action)}` {{ #{_anchor(option)} }}\n\n{_sentence(main)}\n")
        other: dict[str, list[str]] = {}
        for name, text, _ in uses:
            if text != main:
                other.setdefault(text, []).append(name)
        for text, names in other.items():
            parts.append(f"With {', '.join(f'`{name}`' for name in names)}: {_cell(text)}.\n")
        takers = [name for name, _, _ in uses]
        everywhere = len(takers) == len(commands())
        shown = "all commands" if everywhere else ", ".join(f"[`{name}`](commands.md#{_slug(name)})" for name in takers)
        parts.append(f"Taken by {shown}.\n")
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


def _option_link(action: argparse.Action) -> str:
    option = action.option_strings[-1]
    return f"[`{option}`](options.md#{_anchor(option)})"


def _anchor(option: str) -> str:
    return f"option{option.replace('--', '-')}"


def _slug(name: str) -> str:
    return name.lower().replace(" ", "-")


# -- settings ---------------------------------------------------------------------------------------------------------


def settings() -> Iterator[tuple[str, str, type[Any]]]:
    """Every class of settings: heading, what stands before its fields in a dotted name, the class."""
    trainings = [name for name, field in Config.model_fields.items() if Training in _classes(field.annotation)]
    yield "The experiment", "", Config
    yield "Data", "data.", DataSettings
    for name in DATA_SETS:
        yield f"Data set `{name}`", "data.", DataSettings.kind(name)
    yield "Split", "split.", Split
    yield "Networks: `model`, `model_b`", "model.", Model
    yield f"Trainings: {', '.join(f'`{name}`' for name in trainings)}", "finetune.", Training
    yield "Augmentation of a training", "finetune.augment.", Augment
    for kind in sorted(WeightSettings.__subclasses__(), key=lambda kind: str(kind.model_fields["rule"].default)):
        yield f"Weight rule `{kind.model_fields['rule'].default}`", "weight.", kind
    yield "Consistency with a teacher: `consistency`", "consistency.", Consistency


def write_settings() -> str:
    """A table for each class of settings: name, meaning, default, values."""
    parts = []
    for heading, prefix, kind in settings():
        inherited = set(DataSettings.model_fields) if kind not in (DataSettings, Config) else set()
        parts.append(f"## {heading}\n\n{_paragraphs(inspect.getdoc(kind) or '')}\n")
        rows = [
            f"| `{prefix}{name}` | {_cell(_meaning(kind, name, field))} | {_default(field)} | {_values(field)} |"
            for name, field in kind.model_fields.items()
            if not (issubclass(kind, DataSettings) and name in inherited and name != "name")
            and not _is_part(field)
            and name not in ("fingerprint", "weights_digest", "list_digest", "name", "rule" if prefix == "weight." else "")
        ]
        if rows:
            parts.append("| setting | meaning | default | values |\n|---|---|---|---|\n" + "\n".join(rows) + "\n")
        elif kind is not Config:
            parts.append("It has no settings of its own.\n")
    return "\n".join(parts)


def _meaning(kind: type[Any], name: str, field: FieldInfo) -> str:
    return field.description or attribute_docs(kind).get(name, "")


def attribute_docs(kind: type[Any]) -> dict[str, str]:
    """What the Attributes section of a class docstring says of each field."""
    section = re.search(r"Attributes:\n(.*?)(?:\n\n|\Z)", inspect.getdoc(kind) or "", re.DOTALL)
    if section is None:
        return {}
    lines = re.findall(r"^ {4}(\w+): (.*(?:\n {8,}.*)*)", section[1], re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in lines}


def _classes(annotation: Any) -> set[Any]:
    return {annotation, *(inner for each in get_args(annotation) for inner in _classes(each))}


def _is_part(field: FieldInfo) -> bool:
    """Whether a field holds settings that have a table of their own."""
    parts = (Training, Augment, Model, Split, Consistency, DataSettings, WeightSettings)
    return any(isinstance(each, type) and issubclass(each, parts) for each in _classes(field.annotation))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "of the recipe"
    value = field.get_default(call_default_factory=True)
    shown = "none" if value is None else "empty" if value in ("", {}) else value
    shown = list(shown) if isinstance(shown, tuple) else shown
    return f"`{str(shown).lower() if isinstance(shown, bool) else shown}`"


def _values(field: FieldInfo) -> str:
    """What a field may be: its choices, its type and its range."""
    return _cell(_type(field.annotation, field.metadata))


def _type(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    limits = [text for each in metadata for text in _limits(each)]
    origin, inner = getattr(annotation, "__origin__", None), get_args(annotation)
    if annotation is type(None):
        return "none"
    if origin is not None and hasattr(annotation, "__metadata__"):  # Annotated
        return _type(inner[0], [*annotation.__metadata__, *metadata])
    if origin is tuple:
        if len(inner) == 2 and inner[1] is Ellipsis:
            return f"list of {_type(inner[0])}s"
        return "[" + ", ".join(_type(each) for each in inner) + "]"
    if str(origin) == "typing.Literal":
        return ", ".join(f"`{value}`" for value in inner)
    if inner and origin is not dict:  # a union
        return " or ".join(dict.fromkeys(_type(each, metadata if each in (int, float) else ()) for each in inner))
    plain = {int: "whole number", float: "number", bool: "`true`, `false`", str: "text"}.get(annotation, "mapping")
    return f"{plain} {' and '.join(limits)}".strip()


def _limits(constraint: Any) -> list[str]:
    if isinstance(constraint, FieldInfo):
        return [text for each in constraint.metadata for text in _limits(each)]
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    return [
        f"{sign} {getattr(constraint, name):g}"
        for name, sign in signs.items()
        if getattr(constraint, name, None) is not None
    ]


# -- recipes, methods, searches, ablations -----------------------------------------------------------------------------


def write_recipes() -> str:
    """A table of all recipes with what tells them apart."""
    rows = []
    for name, recipe in RECIPES.items():
        config = named(name)
        labelled = config.split.labelled
        shown = f"{labelled:.3g} of the images" if isinstance(labelled, float) else str(labelled)
        rows.append(
            f"| `{name}` | {_cell(_first(recipe))} | `{config.data.name}` | {shown} | {_network(config)} | "
            f"{' × '.join(map(str, _main(config).augment.crop))} | {' + '.join(map(str, _main(config).batch))} |"
        )
    head = "| recipe | what it is | data set | labelled | network | crop | batch |\n|---|---|---|---|---|---|---|\n"
    return head + "\n".join(rows) + "\n"


def _network(config: Config) -> str:
    model = config.model
    return model.architecture + (f" on `{model.encoder}`" if model.encoder != "none" else "")


def _main(config: Config) -> Training:
    """The training on pseudo labels that DMT performs on such data."""
    classify = config.data.task == "classification" and config.retrain is not None
    return config.retrain if classify else config.finetune


def write_methods() -> str:
    """A table of all methods: what each does, its task, what can be searched in it."""
    rows = []
    for name, method in METHODS.items():
        tasks = [task for task in TASKS if _suits(name, task)]
        spaces = dict.fromkeys(setting for task in tasks for setting in space_of(name, task))
        searched = ", ".join(f"`{setting}`" for setting in spaces)
        rows.append(f"| `{name}` | {_cell(_first(method))} | {' and '.join(tasks)} | {searched} |")
    return "| method | what it does | for | can be searched |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"


def _suits(name: str, task: str) -> bool:
    """Whether a method makes a plan for such data."""
    config = named(TASKS[task])
    try:
        METHODS[name](configure(METHODS[name], config, {}), 0)
    except ConfigError:
        return False
    return True


def questions(folder: str) -> Mapping[str, str]:
    """Searches or ablations by name, and the first sentence of each one's manual."""
    paths = sorted((ROOT / folder).glob("*.py"))
    docs = {path.stem: ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "" for path in paths}
    return {name: text.split("\n\n")[0] for name, text in docs.items() if name not in ("__init__", "tables")}


def _questions_table(folder: str) -> str:
    rows = [f"| `{name}` | {_cell(text)} |" for name, text in questions(folder).items()]
    return "| question | asks |\n|---|---|\n" + "\n".join(rows) + "\n"


# -- the Python API ---------------------------------------------------------------------------------------------------


def api() -> dict[str, str]:
    """A page for each package below `dmt_ray`, which mkdocstrings fills with its docstrings."""
    pages = {}
    for package in sorted((ROOT / "dmt_ray").glob("*/__init__.py")):
        name = package.parent.name
        if name == "cli":  # commands.md and options.md have what it offers
            continue
        modules = [f"dmt_ray.{name}"]
        modules += [".".join(each.relative_to(ROOT).with_suffix("").parts) for each in _modules(package.parent)]
        text = "\n\n".join(f"## {module}\n\n::: {module}" for module in modules)
        pages[name] = f"# dmt_ray.{name}\n\n{text}\n"
    return pages


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
    return f"{cell[:1].upper()}{cell[1:]}."


def _cell(text: str) -> str:
    """Text for a table's cell: one line; what reads like markup is taken as it stands."""
    pieces = re.split(r"(`[^`]*`)", " ".join(text.split()))
    plain = [each if each.startswith("`") else re.sub(r"([|*_<>])", r"\\\1", each) for each in pieces]
    return "".join(each.replace("|", r"\|") if each.startswith("`") else each for each in plain)


GENERATED: dict[str, Callable[[], str]] = {
    "commands": write_commands,
    "options": write_options,
    "settings": write_settings,
    "recipes": write_recipes,
    "methods": write_methods,
    "searches": lambda: _questions_table("searches"),
    "ablations": lambda: _questions_table("ablations"),
}
"""Marker on a page -> what takes its place."""
