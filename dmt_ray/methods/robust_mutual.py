"""Robust Mutual Learning: two students, their mean teachers, noise, and labels that are rectified by prototypes."""

from typing import Any

from dmt_ray.config import SIDES, Config
from dmt_ray.methods.consistency import EMA_DECAY, WEIGHT
from dmt_ray.methods.searched import searched
from dmt_ray.methods.space import Choice, Uniform
from dmt_ray.plan import Plan
from dmt_ray.plan.operations import cotrain, ensemble, evaluate, pretrain

THRESHOLD = {"consistency.threshold": Uniform(0, 0.95, step=0.05)}  # none is the paper's
NOISE = {"consistency.dropout": Uniform(0, 0.8, step=0.1), "consistency.survival": Uniform(0.5, 1, step=0.1)}
PROTOTYPES = {"consistency.prototype_momentum": Choice(0.9, 0.99, 0.999, 0.9999)}


@searched({**WEIGHT, **THRESHOLD, **EMA_DECAY, **NOISE, **PROTOTYPES})
def rml(cfg: Config, seed: int) -> Plan:
    """Robust Mutual Learning: mutual learning of noisy students from rectified labels, in two stages (RML, Sec. 4).

    Each stage takes the labels of its first models, and rectifies them step by step (Eq. 6); the next stage begins with
    the mean teachers of the one before, and so with new labels.
    """
    return _mutual(cfg, seed, teacher="mean", taught_by="both", rectified=True, stages=cfg.consistency.stages or 2)


@searched({**WEIGHT, **THRESHOLD, **EMA_DECAY, **NOISE})
def iml(cfg: Config, seed: int) -> Plan:
    """Indirect mutual learning: RML with unrectified labels of the mean teachers, in one stage (RML, Table 4)."""
    return _mutual(cfg, seed, teacher="mean", taught_by="both", stages=cfg.consistency.stages or 1)


@searched({**WEIGHT, **THRESHOLD})
def direct_mutual(cfg: Config, seed: int) -> Plan:
    """Direct mutual learning: each student learns the other's current predictions, without noise (RML, Eq. 3)."""
    plain = cfg.evolve(consistency=cfg.consistency.evolve(noise="none", dropout=None, survival=None))
    return _mutual(plain, seed, teacher="student", taught_by="peer", stages=cfg.consistency.stages or 1)


def _mutual(cfg: Config, seed: int, *, stages: int, **how: Any) -> Plan:
    start = {side: pretrain(cfg, seed=seed, side=side) for side in SIDES}
    rungs = [{side: evaluate(cfg, model=model) for side, model in start.items()}]
    for _ in range(stages):
        trained = cotrain(cfg, start=start, seed=seed, **how)
        rungs.append({side: evaluate(cfg, model=trained, member=side) for side in SIDES})
        start = dict.fromkeys(SIDES, trained)
    return Plan(rungs, ensemble(cfg, rungs[-1]))
