"""`dmt methods` and `dmt recipes`: what there is to choose from."""

import argparse
import inspect
import textwrap

from dmt_ray.config import Config, nearest
from dmt_ray.errors import ConfigError
from dmt_ray.methods import METHODS, space_of
from dmt_ray.recipes import RECIPES, load

WIDTH = 100


def show_methods(options: argparse.Namespace) -> None:
    """Print the methods, with their tasks and what can be searched in them; or one with its docstring."""
    if options.method is None:
        for name, method in METHODS.items():
            print(f"{name:16}{_first_line(method)}")
            for line in _searched(name):
                print(textwrap.indent(textwrap.fill(line, WIDTH), " " * 18))
        return
    if options.method not in METHODS:
        raise ConfigError(f"there is no method {options.method!r}; {nearest(options.method, METHODS)}")
    print(f"{options.method}: {inspect.getdoc(METHODS[options.method])}\n")
    for task in _tasks(METHODS[options.method]):
        print(f"searched for {task}:")
        for setting, values in space_of(options.method, task).items():
            print(f"  {setting:28}{values}")


def show_recipes(options: argparse.Namespace) -> None:
    """Print the recipes with task and data set; or the settings of one as YAML, those first that it changes."""
    if options.recipe is None:
        width = max(map(len, RECIPES))
        for name, recipe in RECIPES.items():
            data = recipe().data
            print(f"{name:<{width}}  {data.task:15}{data.name:14}{_first_line(recipe)}")
        return
    config = load(options.recipe)
    start = _start(options.recipe)
    own, usual = _divided(_values(config), _values(Config.model_validate(_required(config))))
    print(f"# All settings of {options.recipe}. As a file ending in .yaml this is a recipe of your own, for --recipe.")
    print(f"recipe: {start}\n")
    print(f"# what it sets\n{_yaml(own)}\n# what every recipe has unless it is set\n{_yaml(usual)}", end="")
