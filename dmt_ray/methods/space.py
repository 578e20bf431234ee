"""Search spaces: ranges, integers and choices, as plain values that a sweep's file holds."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dmt_ray.errors import ConfigError

Value = float | int | str
Params = Mapping[str, Value]


def rounded(value: float) -> float:
    """A value of a range without what the arithmetic of steps leaves behind: 0.7 for 0.7000000000000001."""
    return round(value, 10)


@dataclass(frozen=True)
class _Range:
    low: float
    high: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ConfigError(f"a range needs a lower and an upper end, but got {self.low} to {self.high}")

    def ends(self) -> list[Value]:
        """Both ends."""
        return [self.low, self.high]

    def holds(self, value: object) -> bool:
        """Whether a value lies in the range."""
        return isinstance(value, int | float) and self.low <= value <= self.high


@dataclass(frozen=True)
class Uniform(_Range):
    """A searched setting's range, both ends included.

    Attributes:
        low: Least value.
        high: Greatest value.
        step: Distance of the values that are tried; 0: any value. Round values are easy to pass on, and equal ones
            share their stages.
    """

    step: float = 0.0

    def __str__(self) -> str:
        return f"from {self.low:g} to {self.high:g}"

    def grid(self, values: int) -> list[Value]:
        """Some number of equally spaced values, both ends included."""
        return [rounded(self.low + (self.high - self.low) * i / (values - 1)) for i in range(values)]

    def middle(self) -> Value:
        """The value in the middle."""
        return (self.low + self.high) / 2

    def identity(self) -> list[Value]:
        """What the name of a sweep is made of."""
        return [self.low, self.high, self.step]


@dataclass(frozen=True)
class Integer(_Range):
    """A searched integer setting, both ends included."""

    low: int
    high: int

    def __str__(self) -> str:
        return f"an integer from {self.low} to {self.high}"

    def grid(self, values: int) -> list[Value]:
        """Some number of roughly equally spaced values, both ends included; all values if there are fewer."""
        numbers = [round(self.low + (self.high - self.low) * i / (values - 1)) for i in range(values)]
        return list(dict.fromkeys(numbers))

    def middle(self) -> Value:
        """The number in the middle."""
        return (self.low + self.high) // 2

    def holds(self, value: object) -> bool:
        """Whether a value is one of the numbers."""
        return super().holds(value) and float(value).is_integer()  # type: ignore[arg-type]

    def identity(self) -> list[Value]:
        """What the name of a sweep is made of."""
        return ["whole", self.low, self.high]


@dataclass(frozen=True)
class Choice:
    """A searched setting with one of several unordered values."""

    values: tuple[Value, ...]

    def __init__(self, *values: Value) -> None:
        object.__setattr__(self, "values", values)
        if len(values) < 2 or len(set(values)) < len(values):
            raise ConfigError(f"a choice needs at least two different values, but got {values}")

    def __str__(self) -> str:
        return f"one of {', '.join(map(as_text, self.values))}"

    def grid(self, values: int) -> list[Value]:
        """All values."""
        return list(self.values)

    def ends(self) -> list[Value]:
        """All values: none lies between others."""
        return list(self.values)

    def middle(self) -> Value:
        """The value in the middle of the list."""
        return self.values[len(self.values) // 2]

    def holds(self, value: object) -> bool:
        """Whether a value is one of them."""
        return value in self.values

    def identity(self) -> list[Value]:
        """What the name of a sweep is made of."""
        return ["choice", *self.values]


Dimension = Uniform | Integer | Choice
Space = Mapping[str, Dimension]


def as_text(value: Value) -> str:
    """A value as text for people: 0.25, 5, flip."""
    return value if isinstance(value, str) else f"{value:g}"


def to_json(dimension: Dimension) -> dict[str, Any]:
    """A dimension as JSON; a range is written as it always was."""
    if isinstance(dimension, Choice):
        return {"kind": "choice", "values": list(dimension.values)}
    return ({"kind": "whole"} if isinstance(dimension, Integer) else {}) | asdict(dimension)


def from_json(values: Mapping[str, Any]) -> Dimension:
    """The inverse of `to_json`."""
    if values.get("kind") == "whole":
        return Integer(values["low"], values["high"])
    if values.get("kind") == "choice":
        return Choice(*values["values"])
    return Uniform(**values)
