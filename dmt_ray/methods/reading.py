"""Which settings a method reads on its way to a plan."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Self

from dmt_ray.config import Config
from dmt_ray.methods.searched import Method

_FIELDS = frozenset(Config.model_fields)
_READ: ContextVar[set[str] | None] = ContextVar("read", default=None)


def settings_read(method: Method, config: Config, seed: int = 0) -> frozenset[str]:
    """The settings of the first level that a method reads: "pretrain", "weight", "percentiles".

    What it reads of a copy that it has changed counts, too. What depends on other settings, such as who teaches first
    in the sequential order, is read only where it counts.
    """
    watched, read = _Watched(**{name: getattr(config, name) for name in _FIELDS}), set[str]()
    token = _READ.set(read)
    try:
        method(watched, seed)
    finally:
        _READ.reset(token)
    return frozenset(read)


class _Watched(Config):
    """Settings that note what is read of them, but not when they are checked, or copied with changes."""

    def __init__(self, **values: Any) -> None:
        with _unnoticed():
            super().__init__(**values)

    def __getattribute__(self, name: str) -> Any:
        if name in _FIELDS and (read := _READ.get()) is not None:
            read.add(name)
        return super().__getattribute__(name)

    def evolve(self, **changes: Any) -> Self:
        with _unnoticed():
            return super().evolve(**changes)

    def with_weight(self, **changes: Any) -> Config:
        with _unnoticed():
            return super().with_weight(**changes)


@contextmanager
def _unnoticed() -> Iterator[None]:
    token = _READ.set(None)
    try:
        yield
    finally:
        _READ.reset(token)
