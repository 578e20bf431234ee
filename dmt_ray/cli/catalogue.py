"""`dmt methods` and `dmt recipes`: what there is to choose from."""

import argparse
import contextlib
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from dmt_ray.config import OPAQUE, Settings, Task
from dmt_ray.config.derived import DERIVED, SCHEDULE
from dmt_ray.errors import ConfigError
from dmt_ray.experiments.dimensions import made
from dmt_ray.methods import METHODS, Method, declared
from dmt_ray.methods.searched import Searched
from dmt_ray.recipes import RECIPES, load, named
from dmt_ray.recipes.plain_yaml import parse

WIDTH = 100
END = "...\n"  # which PyYAML writes behind a value that stands alone


def show_methods(options: argparse.Namespace) -> None:
    """Print the methods, with their tasks and what can be searched in them; or one with its docstring."""
    if options.method is None:
        methods, faults = METHODS.usable()
        for fault in faults:
            print(f"warning: {fault}", file=sys.stderr)
        for name, method in methods.items():
            print(f"{name:16}{_first_line(method)}")
            spaces = {task: ", ".join(_searchable(declared(method, task) or {})) for task in _tasks(method)}
            for settings in dict.fromkeys(spaces.values()):
                tasks = " and ".join(task for task, own in spaces.items() if own == settings)
                print(textwrap.indent(textwrap.fill(f"for {tasks}; searchable: {settings}", WIDTH), " " * 18))
        return
    method, searched = METHODS[options.method], set[str]()
    print(f"{options.method}: {inspect.getdoc(method)}")
    for task in _tasks(method):
        print(f"\nsearched for {task}:")
        for setting, values in (declared(method, task) or {}).items():
            searched.add(setting)
            print(f"  {setting:27} {values}{'; makes ' * (setting in DERIVED)}{' and '.join(DERIVED.get(setting, ()))}")
    if searched & set(SCHEDULE):
        print("\n--set takes percentiles in place of what makes them, such as --set percentiles=[0.2,0.6,1].")


def _searchable(space: Searched) -> list[str]:
    """What can be searched, by the names that --set takes: "percentiles (by schedule.start, schedule.end)"."""
    by = {setting: [name for name in space if setting in DERIVED.get(name, ())] for setting in made(space)}
    return [f"{setting} (by {', '.join(names)})" if names else setting for setting, names in by.items()] or ["nothing"]


def show_recipes(options: argparse.Namespace) -> None:
    """Print the recipes with task and data set; or all settings of one, as a file that `--recipe` reads."""
    if options.recipe is None:
        width = max(map(len, RECIPES))
        for name, recipe in RECIPES.items():
            data = recipe().data
            print(f"{name:<{width}}  {data.task:14}  {data.name:13}  {_first_line(recipe)}")
        return
    config, start = load(options.recipe), options.recipe
    if start not in RECIPES:
        start = parse(Path(start).read_text(encoding="utf-8"))["recipe"]
    print(
        f"# All settings of {options.recipe}, named as for --set. Saved as a .yaml file, this is a recipe of your own."
    )
    print(f"recipe: {start}")
    for setting, value, usual in _settings(config):
        written = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000)
        text = f"{setting}: {written.removesuffix(END).strip()}"
        print(f"{text:<48}  # the default" if usual else text)


def _settings(settings: Settings, prefix: str = "") -> Iterator[tuple[str, Any, bool]]:
    """Dotted name, plain value, and whether that is the default, of everything that can be set."""
    plain = settings.model_dump(mode="json")
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, Settings) and name not in OPAQUE:
            yield from _settings(value, f"{prefix}{name}.")
        elif prefix or name != "recipe":
            yield f"{prefix}{name}", plain[name], not field.is_required() and value == field.get_default()


def _first_line(function: Callable[..., Any]) -> str:
    return (function.__doc__ or "").partition("\n")[0]


def _tasks(method: Method) -> Iterator[Task]:
    """What a method is for: whether it makes a plan for such data."""
    for data in (named("shapes").data, named("digits").data):
        with contextlib.suppress(ConfigError):
            method(named("shapes").evolve(data=data), 0)
            yield data.task
