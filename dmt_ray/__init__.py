"""Hyperparameter search and ablations for Dynamic Mutual Training on Ray, Optuna and MLflow.

::

    import dmt_ray as dmt

    config = dmt.override(dmt.recipe("shapes"), {"finetune.epochs": 2})
    run = dmt.perform(config, method="dmt", seed=0, storage="runs")
    run.scores(), run.figure(), run.model("A")

docs/how-to/python.md shows the rest. A name is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

IGNORE = 255
"""The label of a pixel that neither teaches nor is scored: unlabelled, padding, or a dropped pseudo label."""

__all__ = [
    "IGNORE", "METHODS", "RECIPES", "Config", "Plan", "UserError", "dataset", "list_results", "load_model", "method",
    "open_results", "override", "perform", "recipe",
]  # fmt: skip

if TYPE_CHECKING:
    from dmt_ray.api.performing import perform
    from dmt_ray.api.results import list_results, open_results
    from dmt_ray.api.settings import override, recipe
    from dmt_ray.api.trained import load_model
    from dmt_ray.config import Config, dataset
    from dmt_ray.errors import UserError
    from dmt_ray.methods import METHODS, method
    from dmt_ray.plan import Plan
    from dmt_ray.recipes import RECIPES

_MODULES = {
    "api.performing": ("perform",),
    "api.results": ("list_results", "open_results"),
    "api.settings": ("override", "recipe"),
    "api.trained": ("load_model",),
    "config": ("Config", "dataset"),
    "errors": ("UserError",),
    "methods": ("METHODS", "method"),
    "plan": ("Plan",),
    "recipes": ("RECIPES",),
}
_PLACES = {name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
