"""The weight rules: how much each pseudo label may teach. One file per rule, with a function of the same name.

A rule takes a `Comparison`, its numbers as keyword arguments, and ``moment``, where in the training it is applied. The
numbers of a rule are the fields of its class in `config.weights`.
"""

from collections.abc import Mapping
from functools import partial
from importlib import import_module
from typing import Any

from dmt_ray.losses.weighting import Moment, Rule


def bind(name: str, numbers: Mapping[str, Any], moment: Moment) -> Rule:
    """A rule at one step of a training.

    Args:
        name: Its file in this folder.
        numbers: Its own numbers.
        moment: Where in the training it is applied.
    """
    return partial(getattr(import_module(f"{__name__}.{name}"), name), **numbers, moment=moment)
