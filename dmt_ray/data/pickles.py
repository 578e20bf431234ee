"""Reads a pickle's bytes without unpickling it: no function that it names is called, and only arrays may be named."""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

NUMPY = frozenset({
    "numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct", "numpy ndarray", "numpy dtype",
})  # fmt: skip
"""Names that the pickle of an array holds."""

_MARK = object()
_VALUES = frozenset({
    "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BINUNICODE", "SHORT_BINUNICODE",
    "BININT", "BININT1", "BININT2",
})  # fmt: skip
_FIXED: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "MARK": lambda: _MARK,
}  # fmt: skip
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_REMEMBER = frozenset({"BINPUT", "LONG_BINPUT", "MEMOIZE"})


@dataclass
class Made:
    """A function that a pickle names and that is never looked up, its arguments, and its result's state."""

    by: str
    arguments: Any = None
    state: Any = None


def read(content: bytes) -> Any:
    """The plain values that a pickle holds, with `Made` in the place of arrays.

    Strings of Python 2 come as str, a character a byte (Latin-1).

    Raises:
        ValueError: If it is no whole pickle, names anything outside `NUMPY`, or has opcodes that plain data and arrays
            do without.
    """
    try:
        return _Reader().read(content)
    except (IndexError, KeyError, TypeError, AttributeError):
        raise ValueError("a damaged pickle") from None


class _Reader:
    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def read(self, content: bytes) -> Any:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name == "STOP":
                return self._stack.pop()
            self._take(opcode.name, argument)
        raise ValueError("a damaged pickle")  # genops ends with STOP or raises

    def _take(self, name: str, argument: Any) -> None:
        stack = self._stack
        if name in _VALUES:
            stack.append(argument)
        elif name in _FIXED:
            stack.append(_FIXED[name]())
        elif name in _REMEMBER:
            self._memo[len(self._memo) if argument is None else argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif name in _TUPLES:
            stack[-_TUPLES[name] :] = [tuple(stack[-_TUPLES[name] :])]
        elif name == "TUPLE":
            stack.append(tuple(self._since_mark()))
        elif name in ("APPEND", "APPENDS"):
            values = self._since_mark() if name == "APPENDS" else [stack.pop()]
            stack[-1].extend(values)
        elif name in ("SETITEM", "SETITEMS"):
            values = self._since_mark() if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
            # Tuples of tuples of tuples ... would take for ever to be hashed.
            if not all(isinstance(key, str | bytes) for key in values[::2]):
                raise ValueError("a pickle of a dict whose keys are no texts")
            stack[-1].update(zip(values[::2], values[1::2], strict=True))
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            function = argument if name == "GLOBAL" else " ".join([stack.pop(-2), stack.pop()])
            if function not in NUMPY:
                raise ValueError(f"a pickle that names {function.replace(' ', '.')}, which could run code")
            stack.append(Made(function))
        elif name == "REDUCE":
            arguments = stack.pop()
            stack[-1] = Made(stack[-1].by, arguments)
        elif name == "BUILD":
            state = stack.pop()
            stack[-1].state = state
        elif name not in ("PROTO", "FRAME"):
            raise ValueError(f"a pickle with the opcode {name}")

    def _since_mark(self) -> list[Any]:
        mark = len(self._stack) - 1  # from the top down: a search of the whole stack for each mark would take for ever
        while mark >= 0 and self._stack[mark] is not _MARK:
            mark -= 1
        if mark < 0:
            raise ValueError("a damaged pickle")
        values = self._stack[mark + 1 :]
        del self._stack[mark:]
        return values
