"""The methods of the papers: pure functions from settings and a seed to a plan."""

from collections.abc import Callable

from dmt_ray.config import Config
from dmt_ray.methods.mutual import dmt, dmt_flip, dmt_naive
from dmt_ray.methods.self_training import cbst, dst, dst_double, pseudo_label
from dmt_ray.methods.single import baseline, online_st, oracle
from dmt_ray.plan import Plan

Method = Callable[[Config, int], Plan]

METHODS: dict[str, Method] = {
    method.__name__: method
    for method in (baseline, oracle, online_st, pseudo_label, cbst, dst, dst_double, dmt, dmt_naive, dmt_flip)
}
