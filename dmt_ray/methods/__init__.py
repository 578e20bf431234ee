"""The methods of the papers, and those that other packages add: pure functions from settings and a seed to a plan."""

from dmt_ray.config import Registry, Task
from dmt_ray.errors import ConfigError
from dmt_ray.methods.configure import applicable, configure, own_weight, stored_config
from dmt_ray.methods.consistency import cps, fixmatch, mean_teacher, unimatch, unimatch_v2
from dmt_ray.methods.curriculum import curriculum
from dmt_ray.methods.mutual import dmt, dmt_flip, dmt_naive
from dmt_ray.methods.robust_mutual import direct_mutual, iml, rml
from dmt_ray.methods.rwms import classical_st, rwms
from dmt_ray.methods.searched import Method, Searched, declared, searched
from dmt_ray.methods.self_training import cbst, dst, dst_double, pseudo_label
from dmt_ray.methods.single import baseline, online_st, oracle

__all__ = [
    "METHODS", "Method", "applicable", "configure", "declared", "method", "own_weight", "searched", "space_of",
    "stored_config",
]  # fmt: skip

_OWN: dict[str, Method] = {
    own.__name__: own
    for own in (
        *(baseline, oracle, online_st, pseudo_label, classical_st, cbst, dst, dst_double, curriculum),
        *(dmt, dmt_naive, dmt_flip, direct_mutual, iml, rml, rwms),
        *(mean_teacher, fixmatch, cps, unimatch, unimatch_v2),
    )
}


def _fault(name: str, value: object) -> str:
    return "" if callable(value) else "a method must be a function from settings and a seed to a plan"


METHODS: Registry[Method] = Registry("method", "dmt_ray.methods", _OWN, _fault)
"""Name -> method."""


def method(function: Method) -> Method:
    """Register a method under the name of its function.

    Raises:
        ConfigError: If the name is taken.
    """
    return METHODS.register(function.__name__, function)


def space_of(name: str, task: Task) -> Searched:
    """The search space of a method, on data for this task.

    Raises:
        ConfigError: If there is no such method, or it declares nothing.
    """
    space = declared(METHODS[name], task)
    if space is None:
        raise ConfigError(f"the method {name!r} does not declare a search space; decorate it with @searched({{...}})")
    return space
