"""Registries that other packages can extend: methods and data sets, from entry points and decorators.

An installed package adds a name by an entry point, which every process finds by itself::

    [project.entry-points."dmt_ray.methods"]
    theirs = "their_package.methods:theirs"

A decorator (`methods.method`, `config.dataset`) adds what a notebook or a script defines, to its own process; the
workers that this process starts are told (`execution.plugins`).
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from pkgutil import resolve_name
from typing import Generic, TypeVar

from dmt_ray.config.settings import nearest
from dmt_ray.errors import ConfigError

T = TypeVar("T")


class UnknownName(ConfigError, KeyError):
    """The error for a name that is not registered."""

    __str__ = Exception.__str__  # KeyError would show the sentence in quotes


@functools.cache
def installed(group: str) -> EntryPoints:
    """The entry points of all installed packages in a group; read once per process."""
    return entry_points(group=group)


class Registry(Mapping[str, T], Generic[T]):
    """Name -> what it stands for: what this package has, what was registered, and the entry points of a group.

    Its names are known without an import; an entry point is loaded when its name is looked up. Looking up a name

    Raises:
        UnknownName: If nobody has registered it, with the nearest name.
        ConfigError: If two packages claim the name, or its entry point cannot be loaded; with the package.

    Args:
        what: What it holds, for people: "method".
        group: The entry points' group.
        own: What this package has; a string is a place such as "package.module:name", imported when it is needed.
        fault: What is wrong with a value under a name, as the end of a sentence; "": nothing.
    """

    def __init__(
        self, what: str, group: str, own: Mapping[str, T | str], fault: Callable[[str, object], str] = lambda *_: ""
    ) -> None:
        self.what, self.group = what, group
        self._own, self._fault = own, fault
        self._registered: dict[str, T] = {}
        self._loaded: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        points = self._points().get(name, [])
        if len(points) + (name in self._own) > 1:
            owners = ["dmt_ray"] * (name in self._own) + [_owner(point) for point in points]
            raise ConfigError(
                f"the {self.what} {name!r} is claimed by {' and by '.join(owners)}; rename one, or uninstall a package"
            )
        if name in self._own:
            own = self._own[name]
            return self._loaded.setdefault(name, resolve_name(own)) if isinstance(own, str) else own
        if points and name not in self._loaded:
            self._loaded[name] = self._load(name, points[0])
        if name in self._registered:
            if points and _place(self._registered[name]) != _place(self._loaded[name]):
                raise ConfigError(
                    f"the {self.what} {name!r} is registered by {_place(self._registered[name])} and claimed by "
                    f"{_owner(points[0])}; rename one of them"
                )
            return self._registered[name]
        if name not in self._loaded:
            raise UnknownName(f"there is no {self.what} {name!r}; {nearest(name, self)}")
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self._registered or name in self._points()

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._own, *self._registered, *sorted(self._points())]))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def register(self, name: str, value: T) -> T:
        """Register a name in this process; defining it again, as when a notebook cell is rerun, replaces it.

        Raises:
            ConfigError: If the name is taken, or the value is none of these.
        """
        if fault := self._fault(name, value):
            raise ConfigError(f"{_place(value)} cannot be registered as the {self.what} {name!r}: {fault}")
        owners = ["dmt_ray"] * (name in self._own)
        # A package may put a decorator before what its entry point names.
        root = _place(value).partition(".")[0]
        owners += [_owner(point) for point in self._points().get(name, ()) if point.module.partition(".")[0] != root]
        if name in self._registered and _place(self._registered[name]) != _place(value):
            owners.append(_place(self._registered[name]))
        if owners:
            raise ConfigError(f"{_place(value)}: the {self.what} {name!r} is taken by {owners[0]}; choose another name")
        self._registered[name] = value
        return value

    def forget(self, name: str) -> None:
        """Unregister a name."""
        self._registered.pop(name, None)

    def registered(self) -> dict[str, T]:
        """The names that other processes cannot find by themselves: those registered without an entry point."""
        return {name: value for name, value in self._registered.items() if name not in self._points()}

    def usable(self) -> tuple[dict[str, T], list[str]]:
        """Everything that can be used, and a sentence about every name that cannot."""
        there, faults = dict[str, T](), list[str]()
        for name in self:
            try:
                there[name] = self[name]
            except ConfigError as error:
                faults.append(str(error))
        return there, faults

    def _points(self) -> dict[str, list[EntryPoint]]:
        by_name: dict[str, list[EntryPoint]] = {}
        for point in installed(self.group):
            if all(point.value != other.value for other in by_name.get(point.name, ())):
                by_name.setdefault(point.name, []).append(point)
        return by_name

    def _load(self, name: str, point: EntryPoint) -> T:
        try:
            value: T = point.load()
        except Exception as error:  # their code, which may fail in any way
            why = f"{type(error).__name__}: {error}"
        else:
            if not (why := self._fault(name, value)):
                return value
        raise ConfigError(
            f"the {self.what} {name!r} of {_owner(point)} cannot be used: {point.value}: {why}. Fix or uninstall it"
        )


def _owner(point: EntryPoint) -> str:
    """The package that an entry point is of, with its version."""
    return f"the package {point.dist.name} {point.dist.version}" if point.dist is not None else "an unnamed package"


def _place(value: object) -> str:
    """Where a function or a class was defined."""
    return f"{getattr(value, '__module__', '?')}.{getattr(value, '__qualname__', type(value).__name__)}"
