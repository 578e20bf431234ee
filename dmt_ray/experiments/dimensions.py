"""Searched names that stand for other settings: a schedule's shape, the share of labelled images, method, networks.

A trial is always translated into plain settings, so that `dmt run --set ...` repeats it, and so that two points that
mean the same have the same stages.
"""

from collections.abc import Iterable
from functools import reduce
from math import sqrt
from typing import Any

from dmt_ray.config import Config
from dmt_ray.config.derived import CURVATURE, DERIVED, END, ITERATIONS, LABEL_FRACTION, METHOD, SCHEDULE, START
from dmt_ray.methods import METHODS, configure, own_weight
from dmt_ray.methods.space import Params, Space, Uniform, Value

AND = " + "  # between the names of a pair

# Of a share of pixels: schedules that begin alike have then equal first values, and equal values share their stages.
ROUND_TO = 1 / 20


def settings_of(config: Config, params: Params) -> dict[str, Any]:
    """A point as plain settings, without the method; unsearched parts of a schedule come from the percentiles."""
    settings: dict[str, Any] = {name: value for name, value in params.items() if name not in DERIVED}
    if any(name in params for name in SCHEDULE):
        own = config.percentiles
        settings["percentiles"] = schedule(
            start=float(params.get(START, own[0])),
            end=float(params.get(END, own[-1])),
            iterations=int(params.get(ITERATIONS, len(own))),
            curvature=float(params.get(CURVATURE, 1.0)),
        )
    if LABEL_FRACTION in params:
        fraction = float(params[LABEL_FRACTION])
        settings |= {"split.labelled": fraction, "pretrain.epochs": pretrain_epochs(fraction, config.oracle.epochs)}
    return settings


def schedule(*, start: float, end: float, iterations: int, curvature: float) -> list[float]:
    """The percentiles of a schedule: start + (end - start) * (i / (iterations - 1)) ** curvature, in steps of 5 %.

    DMT's own (Sec. 4.2.2) is start 0.2, end 1, 5 iterations, curvature 1. With a curvature above 1 it stays long with
    the most confident labels, below 1 it takes in the others early. A single iteration takes the share `end` at once.

    Args:
        start: Share of the pixels in the first iteration, at most `end`.
        end: Share in the last.
        iterations: Number of iterations.
        curvature: Above 0; 1 is straight.
    """
    if iterations == 1:
        return [_rounded(end)]
    return [_rounded(start + (end - start) * (i / (iterations - 1)) ** curvature) for i in range(iterations)]


def _rounded(share: float) -> float:
    parts = round(1 / ROUND_TO)
    return max(1, round(share * parts)) / parts


def pretrain_epochs(fraction: float, n: int) -> int:
    """Pretraining epochs for a share of labelled images: sqrt(1 / share) x N, N the oracle's (DMT, Sec. 5.2.2)."""
    return max(1, round(sqrt(1 / fraction) * n))


def made(space: Iterable[str]) -> list[str]:
    """The settings that a space's names stand for."""
    return list(dict.fromkeys(setting for name in space for setting in DERIVED.get(name, (name,))))


def default_point(config: Config, method: str, space: Space) -> Params | None:
    """The recipe as a point of the space, or None if it is not in the space, as with an irregular schedule."""
    point: dict[str, Value] = {}
    for name, dimension in space.items():
        value = _own_value(config, method, name)
        if value is None or not dimension.holds(value):
            return None
        point[name] = float(value) if isinstance(dimension, Uniform) else value
    plan = METHODS[method]
    again = configure(plan, config, settings_of(config, point))
    return point if plan(again, 0) == plan(config, 0) else None


def _own_value(config: Config, method: str, name: str) -> Value | None:
    own, labelled = config.percentiles, config.split.labelled
    known: dict[str, Value | None] = {
        METHOD: method,
        # A number of images is no share: nobody knows of how many before the data are opened.
        LABEL_FRACTION: labelled if isinstance(labelled, float) else None,
        START: own[0],
        END: own[-1],
        ITERATIONS: len(own),
        CURVATURE: 1.0,
    }
    if name in known:
        return known[name]
    start, _, rest = name.partition(".")
    if start in ("cotrain", "retrain") and getattr(config, start) is None:
        name = f"online.{rest}"  # which is what is taken then
    value: Value | None = _read(config, name)
    if value is None and start == "weight":
        value = _read(own_weight(METHODS[method], config), rest)
    return _usual(config, method, rest) if value is None and start == "consistency" else value


def _usual(config: Config, method: str, name: str) -> Value | None:
    """The default of a method where the recipe sets nothing; None: the method does not read it."""
    stages = METHODS[method](config, 0).stages()
    return next((_read(stage.config, name) for stage in stages if stage.config.joint), None)


def _read(config: Any, name: str) -> Any:
    """The value of a dotted setting; None if it is misspelt, which is reported where it is set."""
    return reduce(lambda value, part: getattr(value, part, None), name.split("."), config)
