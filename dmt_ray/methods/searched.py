"""Search spaces of methods, declared beside them."""

from collections.abc import Callable, Mapping

from dmt_ray.config import Config, Task
from dmt_ray.config.derived import CURVATURE, END, ITERATIONS, START
from dmt_ray.methods.space import Choice, Dimension, Integer, Uniform
from dmt_ray.plan import Plan

Method = Callable[[Config, int], Plan]
Searched = Mapping[str, Dimension]

_SPACES: dict[Method, tuple[Searched, Searched]] = {}
"""Method -> setting -> the values that a search tries, in segmentation and in classification."""

# A schedule of percentiles has a shape and no settings of its own.
SCHEDULE: Searched = {
    START: Uniform(0.1, 0.5, step=0.1),
    END: Uniform(0.5, 1, step=0.1),
    ITERATIONS: Integer(1, 9),
    CURVATURE: Uniform(0.5, 2, step=0.5),
}
GAMMA: Searched = {"weight.gamma1": Uniform(0, 8, step=0.25), "weight.gamma2": Uniform(0, 8, step=0.25)}
DMS: Searched = {"dms_alpha": Uniform(0.55, 1, step=0.05)}
LONG: Searched = {**SCHEDULE, "label": Choice("class_balanced", "global")}
ANEW: Searched = {"retrain.augment.mixup": Uniform(0, 1, step=0.25), "retrain.ema": Choice(0.0, 0.99, 0.999)}


def searched(space: Searched, *, classification: Searched | None = None) -> Callable[[Method], Method]:
    """Declare the search space of the decorated method; None: the same for classification."""

    def declare(method: Method) -> Method:
        _SPACES[method] = (space, space if classification is None else classification)
        return method

    return declare


def declared(method: Method, task: Task) -> Searched | None:
    """The declared search space of a method, on data for this task; None if nothing was declared."""
    spaces = _SPACES.get(method)
    return None if spaces is None else spaces[task == "classification"]
