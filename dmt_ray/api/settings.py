"""Get the settings of a recipe, and override them."""

from collections.abc import Mapping
from os import PathLike, fspath
from typing import Any

from dmt_ray import config as settings
from dmt_ray.config import Config
from dmt_ray.methods import METHODS, Method, configure
from dmt_ray.recipes import load


def recipe(name: str | PathLike[str]) -> Config:
    """The settings of a recipe.

    Args:
        name: A name that `dmt methods` lists, such as "shapes", or a YAML file that starts from one of them.

    Raises:
        ConfigError: If there is no such recipe, or the file sets what does not exist.
    """
    return load(fspath(name))


def override(config: Config, changes: Mapping[str, Any], *, method: str | Method | None = None) -> Config:
    """A validated copy of some settings with overrides: {"finetune.epochs": 2, "weight": {"gamma1": 3}}.

    Args:
        config: The settings; they stay as they are.
        changes: Dotted or nested setting -> value.
        method: The method that they are for, where it has a weight rule of its own, such as "online_st"; then the
            numbers of that rule can be set, too.

    Raises:
        ConfigError: If there is no such setting (the message names the nearest one), or a value does not fit.
    """
    if method is None:
        return settings.override(config, changes)
    return configure(METHODS[method] if isinstance(method, str) else method, config, changes)
