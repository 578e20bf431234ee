"""The methods of the papers: pure functions from settings and a seed to a plan."""

from dmt_ray.methods.configure import applicable, configure, own_weight, stored_config
from dmt_ray.methods.consistency import cps, fixmatch, mean_teacher
from dmt_ray.methods.curriculum import curriculum
from dmt_ray.methods.mutual import dmt, dmt_flip, dmt_naive
from dmt_ray.methods.robust_mutual import direct_mutual, iml, rml
from dmt_ray.methods.rwms import classical_st, rwms
from dmt_ray.methods.searched import SPACES, Method, space_of
from dmt_ray.methods.self_training import cbst, dst, dst_double, pseudo_label
from dmt_ray.methods.single import baseline, online_st, oracle

__all__ = ["METHODS", "SPACES", "Method", "applicable", "configure", "own_weight", "space_of", "stored_config"]

METHODS: dict[str, Method] = {
    method.__name__: method
    for method in (
        *(baseline, oracle, online_st, pseudo_label, classical_st, cbst, dst, dst_double, curriculum),
        *(dmt, dmt_naive, dmt_flip, direct_mutual, iml, rml, rwms),
        *(mean_teacher, fixmatch, cps),
    )
}
