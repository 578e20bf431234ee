"""Settings for one method: a method may set a weight rule of its own, whose numbers can then be set as well."""

from collections.abc import Mapping
from typing import Any

from dmt_ray.config import Config, Weight, WeightSettings, from_stored, override
from dmt_ray.methods.searched import Method

PREFIX = "weight."


def own_weight(method: Method, config: Config) -> Weight:
    """The weight rule, with its numbers, that a method's trainings read; the config's where they read none."""
    read = (getattr(stage.config, "weight", None) for stage in method(config, 0).stages())
    return next((weight for weight in read if isinstance(weight, WeightSettings)), config.weight)


def configure(method: Method, config: Config, changes: Mapping[str, Any], *, shared: bool = False) -> Config:
    """`override` for a method: it may set the numbers of the config's weight rule, or else of the method's own.

    The keys of `changes` are dotted; those that are `shared` are meant for several methods, see `applicable`.
    """
    changes = applicable(method, config, changes) if shared else changes
    return override(config.evolve(weight=_rule(method, config, changes)), changes)


def applicable(method: Method, config: Config, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes, of some meant for several methods, that this one reads: without values for other weight rules."""
    reads = _rule(method, config, changes).numbers()
    others = {
        f"{PREFIX}{name}" for kind in WeightSettings.__subclasses__() for name in kind.model_fields.keys() - reads
    }
    return {name: value for name, value in changes.items() if name not in others or name == f"{PREFIX}rule"}


def stored_config(method: Method, values: Mapping[str, Any]) -> Config:
    """The config of a method in a file. In files of earlier versions, what was set for the method's own rule counts."""
    config, stored = from_stored(values), values["weight"]
    usual = own_weight(method, config).numbers().items()
    changed = {f"{PREFIX}{name}": stored[name] for name, value in usual if stored.get(name, value) != value}
    return configure(method, config, changed)


def _rule(method: Method, config: Config, changes: Mapping[str, Any]) -> Weight:
    """The rule that some changes refer to."""
    if f"{PREFIX}rule" in changes:
        return config.weight.with_rule(str(changes[f"{PREFIX}rule"]))
    numbers = {name.removeprefix(PREFIX) for name in changes if name.startswith(PREFIX)}
    return config.weight if numbers <= config.weight.numbers().keys() else own_weight(method, config)
