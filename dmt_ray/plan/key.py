"""Canonical bytes of a value, and the key made of them: equal work has equal keys in every process and version."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

KEY_LENGTH = 20  # hex digits: 80 bits, so that a billion stages collide with probability 4e-7


def canonical(value: Any) -> bytes:
    """The one JSON text of a value: sorted keys, no spaces, floats in their shortest exact form.

    Args:
        value: None, bool, int, finite float, str, and lists, tuples and str-keyed mappings of these.

    Raises:
        TypeError: If the value holds something that has no stable bytes (a set, an object, NaN).
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value + 0.0  # -0.0 and 0.0 are the same setting
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return {name: _plain(item) for name, item in value.items()}
    raise TypeError(f"{value!r} has no stable bytes: a key takes None, bool, int, finite float, str, lists, mappings")


def key_of(value: Any) -> str:
    """The key of a value: the first 20 hex digits of the SHA-256 of its canonical bytes."""
    return hashlib.sha256(canonical(value)).hexdigest()[:KEY_LENGTH]
