"""The nearest point of a space that no trial has been at, where a sampler proposes one that was tried before.

All trials use the same seeds: a point that was tried gives the same score again, to the last digit. Samplers that have
come close to the best point of a space of steps propose little else.
"""

import functools
import itertools
from collections.abc import Callable

from dmt_ray.methods.space import Dimension, Integer, Params, Space, Uniform, Value, rounded

OFFSETS = 10_000  # points around a proposal that are looked at


def nearest(space: Space, params: Params, is_free: Callable[[Params], bool]) -> dict[str, Value] | None:
    """The free point that is nearest to another one, in steps of the space; None: there is none around it.

    Choices keep their value, and so does what varies continuously.

    Args:
        space: What is searched -> its values.
        params: A point of it.
        is_free: Whether a point may be tried.
    """
    steps = {name: values for name, values in space.items() if _step(values)}
    for offset in _offsets(len(steps)):
        moved = {name: _moved(space[name], params[name], by) for name, by in zip(steps, offset, strict=True)}
        if any(value is None for value in moved.values()):
            continue
        point = {name: params[name] if (value := moved.get(name)) is None else value for name in space}
        if is_free(point):
            return point
    return None


def _step(values: Dimension) -> float:
    """From one value to the next; 0: there are no steps."""
    return values.step if isinstance(values, Uniform) else float(isinstance(values, Integer))


def _moved(values: Dimension, value: Value, by: int) -> Value | None:
    """A value some steps away; None: it lies outside."""
    assert isinstance(values, Uniform | Integer)
    step = _step(values)
    moved = rounded(values.low + (round((float(value) - values.low) / step) + by) * step)
    if not values.low <= moved <= values.high:
        return None
    return float(moved) if isinstance(values, Uniform) else int(moved)


@functools.cache
def _offsets(dimensions: int) -> tuple[tuple[int, ...], ...]:
    """Steps in each dimension, the nearest first."""
    if dimensions == 0:
        return ()
    reach = max(1, int((OFFSETS ** (1 / dimensions) - 1) / 2))
    around = itertools.product(range(-reach, reach + 1), repeat=dimensions)
    return tuple(sorted(around, key=lambda offset: (sum(by * by for by in offset), offset))[1 : OFFSETS + 1])
