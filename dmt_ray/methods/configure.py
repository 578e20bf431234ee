"""Settings for one method: a method may set a weight rule of its own, whose numbers can then be set as well."""

from collections.abc import Mapping
from typing import Any

from dmt_ray.config import Config, Weight, WeightSettings, from_stored, override
from dmt_ray.errors import ConfigError
from dmt_ray.methods.searched import Method

PREFIX = "weight."


def own_weight(method: Method, config: Config) -> Weight:
    """The weight rule, with its numbers, that a method's trainings read; the config's where they read none."""
    read = (getattr(stage.config, "weight", None) for stage in method(config, 0).stages())
    return next((weight for weight in read if isinstance(weight, WeightSettings)), config.weight)


def configure(method: Method, config: Config, changes: Mapping[str, Any], *, shared: bool = False) -> Config:
    """`override` for a method: it may set the numbers of the config's weight rule, or else of the method's own.

    The keys of `changes` are dotted; those that are `shared` are meant for several methods, see `applicable`.

    Raises:
        ConfigError: If a setting is unknown or does not fit; or model B is set, of which this method has none. (A
            recipe may have one: it is for all methods.)
    """
    changes = applicable(method, config, changes) if shared else changes
    configured = override(config.evolve(weight=_rule(method, config, changes)), changes)
    if not shared and any(name.partition(".")[0] == "model_b" for name in changes) and _ignores_b(method, configured):
        raise ConfigError(
            f"model_b is set, but {getattr(method, '__name__', 'this method')} has no model B on these data: leave it "
            "out, or choose a method with two models, such as dmt or cps"
        )
    return configured


def _ignores_b(method: Method, config: Config) -> bool:
    """Whether another network for model B leaves a method's plan as it is."""
    if config.model_b is None or config.model_b == config.model:
        return False
    return method(config, 0) == method(config.evolve(model_b=None), 0)


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
