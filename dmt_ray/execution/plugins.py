"""Hands methods and data sets that a decorator has registered in this process on to the workers that it starts.

Entry points need none of this: every process finds them. What stands in a module that can be imported is imported by
the worker, which must have it, too; what stands in a notebook or in a script that was started travels itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dmt_ray.config import DATA_SETS, Registry
from dmt_ray.errors import ConfigError
from dmt_ray.methods import METHODS

_REGISTRIES: tuple[Registry[Any], ...] = (METHODS, DATA_SETS)


@dataclass(frozen=True)
class Plugin:
    """A method or a data set on its way to a worker."""

    what: str  # `Registry.what`
    name: str
    module: str
    content: bytes  # made by cloudpickle


def plugins() -> tuple[Plugin, ...]:
    """What other processes have to be given.

    Raises:
        ConfigError: If something cannot be handed on.
    """
    found = []
    for registry in _REGISTRIES:
        for name, value in registry.registered().items():
            found.append(Plugin(registry.what, name, value.__module__, pack(value, f"{registry.what} {name!r}")))
    return tuple(found)


def pack(value: object, name: str) -> bytes:
    """A function or class as bytes: by its place where its module can be imported, else all of it.

    Raises:
        ConfigError: If it refers to something that cannot be handed on, such as an open file.
    """
    from ray import cloudpickle  # takes a second

    try:
        content: bytes = cloudpickle.dumps(value)
    except Exception as error:  # whatever stands in the way
        raise ConfigError(
            f"the {name} cannot be passed to other processes ({type(error).__name__}: {error}); move it into a "
            "module that they can import"
        ) from None
    return content


def register(handed: Iterable[Plugin]) -> None:
    """Register what another process has handed on.

    Raises:
        ConfigError: If a module is missing here.
    """
    from ray import cloudpickle

    by_what = {registry.what: registry for registry in _REGISTRIES}
    for plugin in handed:
        registry = by_what[plugin.what]
        if plugin.name not in registry.registered():
            try:
                value = cloudpickle.loads(plugin.content)
            except Exception as error:  # as of any import
                raise ConfigError(
                    f"a worker cannot import the {plugin.what} {plugin.name!r} from the module {plugin.module} "
                    f"({type(error).__name__}: {error}); install the package that holds it on every machine, best with "
                    f"an entry point in the group {registry.group}"
                ) from None
            registry.register(plugin.name, value)
