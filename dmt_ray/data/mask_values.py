"""What the numbers or colours in a mask file mean, by default and as `data.mask_values` says."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dmt_ray import IGNORE
from dmt_ray.data.pictures import MaskKind, Unfit

IGNORED, OTHER = "ignore", "other"
"""The class of pixels that are not counted, and the value that stands for all that are not named."""
SHOWN = 5  # wrong values that are named
_NUMBER = re.compile(r"-?\d+")
_SPAN = re.compile(r"(-?\d+)\.\.(-?\d+)")
_COLOUR = re.compile(r"(\d{1,3}) (\d{1,3}) (\d{1,3})")
_HOW = "a value is a number such as 255, numbers such as 1..65535, a colour such as '128 64 128', or 'other'"


class Span(NamedTuple):
    """Values that mean the same."""

    first: int
    last: int
    meaning: int  # a class, or `IGNORE`


@dataclass(frozen=True, eq=False)
class MaskValues:
    """What the numbers in a mask file mean."""

    table: NDArray[np.uint8]  # class or `IGNORE` of each value, ``[256]``; `IGNORE` too where the value is not allowed
    allowed: NDArray[np.bool_]  # whether a value may occur, ``[256]``
    expected: str  # the allowed values in words
    kind: MaskKind = "plain"
    spans: tuple[Span, ...] = ()  # values beyond 0..255, or colours as `read_mask` numbers them; the first that fits
    other: int | None = None  # class or `IGNORE` of all other values; None: they are not allowed

    @cached_property
    def digest(self) -> str:
        """What tells it from other meanings, as fingerprints hold it."""
        content = self.table.tobytes() + self.allowed.tobytes()
        if self.kind == "colours" or self.spans or self.other is not None:
            content += repr((self.kind, [tuple(span) for span in self.spans], self.other)).encode()
        return hashlib.sha256(content).hexdigest()

    @classmethod
    def of(cls, classes: Mapping[int, int], ignore: Iterable[int], expected: str) -> "MaskValues":
        """Values that are classes, and values that are ignored.

        `classes` leads from a value in the file to a class; `expected` says both in words.
        """
        table, allowed = np.full(256, IGNORE, np.uint8), np.zeros(256, np.bool_)
        for value, number in classes.items():
            table[value], allowed[value] = number, True
        allowed[list(ignore)] = True
        return cls(table, allowed, expected)

    @classmethod
    def numbers(cls, classes: int, ignore: int, first: int = 0) -> "MaskValues":
        """The values first..first+classes-1 for the classes in their order, and one value that is ignored."""
        expected = f"{first}..{first + classes - 1} or {ignore} (ignore)"
        return cls.of({first + k: k for k in range(classes)}, [ignore], expected)

    @classmethod
    def object_of(cls, number: int) -> "MaskValues":
        """0 for the first class, and any other value for one class: a file that shows where a single object is."""
        return cls._made("numbers", [Span(0, 0, 0)], number, "any number")

    @classmethod
    def coded(cls, coding: Mapping[str, str], classes: Sequence[str]) -> "MaskValues":
        """What `data.mask_values` says: text of a value, of numbers first..last, of a colour, or "other" -> class.

        Raises:
            ValueError: If it cannot be understood, a class is unknown or has no value, or two classes have the same.
        """
        meanings = {name: number for number, name in enumerate(classes)} | {IGNORED: IGNORE}
        if IGNORED in classes:
            raise ValueError(
                f"mask_values: {IGNORED!r} stands for pixels without a class, so no class can have its name"
            )
        if unknown := [name for name in coding.values() if name not in meanings]:
            raise ValueError(f"mask_values: {unknown[0]!r} is no class; expected one of {[*classes, IGNORED]}")
        if lacking := [name for name in classes if name not in coding.values()]:
            raise ValueError(f"mask_values: the class {lacking[0]!r} has no value; give it one, or leave out the class")
        kinds, spans, other = set[MaskKind](), list[Span](), None
        for text, name in coding.items():
            if text == OTHER:
                other = meanings[name]
                continue
            kind, first, last = _parsed(text)
            kinds.add(kind)
            spans.append(Span(first, last, meanings[name]))
        if len(kinds) > 1:
            raise ValueError("mask_values: values are either numbers or colours, not both")
        spans.sort(key=lambda span: (span.last - span.first, span.first))  # a number counts before a range that has it
        for place, span in enumerate(spans):
            for before in spans[:place]:
                overlap = before.first <= span.last and span.first <= before.last
                if overlap and (before.first != before.last or before[:2] == span[:2]):
                    raise ValueError(
                        f"mask_values: {span.first}..{span.last} and {before.first}..{before.last} overlap"
                    )
        kind = kinds.pop() if kinds else "numbers"
        shown = ", ".join(f"{text} ({name})" for text, name in coding.items())
        return cls._made(kind, spans, other, shown)

    @classmethod
    def _made(cls, kind: MaskKind, spans: Sequence[Span], other: int | None, expected: str) -> "MaskValues":
        table, allowed = np.full(256, IGNORE, np.uint8), np.zeros(256, np.bool_)
        if kind == "colours":
            return cls(table, allowed, expected, kind, tuple(spans), other)
        if other is not None:
            table[:], allowed[:] = other, True
        for first, last, meaning in reversed(spans):
            table[max(first, 0) : max(last + 1, 0)] = meaning
            allowed[max(first, 0) : max(last + 1, 0)] = True
        beyond = tuple(span for span in spans if span.first < 0 or span.last > 255)
        return cls(table, allowed, expected, kind, beyond, other)

    def classes_of(self, numbers: NDArray[Any]) -> NDArray[np.uint8]:
        """The class, or `IGNORE`, of each number that `read_mask` gives for this `kind`.

        Raises:
            Unfit: If there are others than the allowed ones.
        """
        if self.kind != "colours" and numbers.dtype == np.uint8:
            if not (fine := self.allowed[numbers]).all():
                raise self._refusal(np.unique(numbers[~fine]))
            meant: NDArray[np.uint8] = self.table[numbers]
            return meant
        held, places = np.unique(numbers, return_inverse=True)
        meanings = [self._meaning(int(value)) for value in held]
        if wrong := [value for value, meaning in zip(held, meanings, strict=True) if meaning is None]:
            raise self._refusal(wrong)
        return np.array(meanings, np.uint8)[places.reshape(numbers.shape)]

    def _meaning(self, value: int) -> int | None:
        if self.kind != "colours" and 0 <= value < 256:
            return int(self.table[value]) if self.allowed[value] else None
        return next((span.meaning for span in self.spans if span.first <= value <= span.last), self.other)

    def _refusal(self, wrong: Sequence[Any] | NDArray[Any]) -> Unfit:
        values = [shown(int(value), self.kind) for value in wrong[:SHOWN]]
        if self.kind == "colours":
            values = [f"({value})" for value in values]
        kind = f"masks with values that are neither a class nor ignore; expected {self.expected}"
        return Unfit(kind, f"holds {', '.join(values)}{', ...' if len(wrong) > SHOWN else ''}")


def joined(parts: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Masks of one image laid over each other: a class counts before those with lower numbers.

    The first class yields to pixels that are ignored, and these to all others.
    """
    if len(parts) == 1:
        return parts[0]
    rank = np.arange(256, dtype=np.uint8)
    rank[1:] = np.minimum(rank[1:].astype(np.int64) + 1, 255)
    rank[IGNORE] = 1
    back = np.zeros(256, np.uint8)
    back[rank] = np.arange(256)
    highest = rank[parts[0]]
    for part in parts[1:]:
        highest = np.maximum(highest, rank[part])
    stacked: NDArray[np.uint8] = back[highest]
    return stacked


def shown(value: int, kind: MaskKind) -> str:
    """A number as `data.mask_values` has it: 255, or for a colour "128 64 128"."""
    return f"{value >> 16} {value >> 8 & 255} {value & 255}" if kind == "colours" else str(value)


def _parsed(text: str) -> tuple[MaskKind, int, int]:
    if _NUMBER.fullmatch(text):
        return "numbers", int(text), int(text)
    if span := _SPAN.fullmatch(text):
        if int(span[1]) < int(span[2]):
            return "numbers", int(span[1]), int(span[2])
    elif colour := _COLOUR.fullmatch(text):
        red, green, blue = map(int, colour.groups())
        if max(red, green, blue) <= 255:
            value = red << 16 | green << 8 | blue
            return "colours", value, value
    raise ValueError(f"mask_values: {text!r} cannot be understood; {_HOW}")
