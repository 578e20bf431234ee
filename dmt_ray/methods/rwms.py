"""Reliable Weighted Multi-Phase training: two teachers judge images and pixels, new students learn in phases."""

from typing import Literal

from dmt_ray.config import Config, Training
from dmt_ray.methods.searched import searched
from dmt_ray.methods.space import Choice, Uniform
from dmt_ray.plan import Plan
from dmt_ray.plan.operations import assess, compose, evaluate, label, pretrain, retrain


@searched(
    {
        "weight.a": Choice(0.25, 0.5, 1.0, 1.5, 2.0),
        "weight.b": Uniform(0, 2, step=0.25),
        "reliable": Uniform(0.2, 0.8, step=0.1),
        "phases": Choice("selective", "random", "one"),
    }
)
def rwms(cfg: Config, seed: int) -> Plan:
    """RWMS: images on which two teachers agree come first, and both teachers weight the pixels (RWMS, Algorithm 1).

    Models A and B are the teachers; only A is trained further. The weights are those of the teachers in both phases
    (line 5), also where the first student has labelled anew. `cfg.phases` has the rows of Table 3.
    """
    cfg = _augmented(cfg.with_weight(rule="rank"))
    teacher, judge = (pretrain(cfg, seed=seed, side=side) for side in ("A", "B"))
    labels = label(cfg, teacher=teacher, share=1.0)
    assessed = assess(cfg, labels=labels, judge=judge)
    rungs = [{"A": evaluate(cfg, model=teacher)}]
    if cfg.phases == "one":
        composed = compose(cfg, labels=labels, assessed=assessed, first=1.0)
        student = retrain(cfg, labels=composed, seed=seed, generation=1)
        return Plan([*rungs, {"A": evaluate(cfg, model=student)}])
    by: Literal["reliability", "chance"] = "reliability" if cfg.phases == "selective" else "chance"
    reliable = compose(cfg, labels=labels, assessed=assessed, first=cfg.reliable, by=by)
    student = retrain(cfg, labels=reliable, seed=seed, generation=1)
    rungs.append({"A": evaluate(cfg, model=student)})
    renewed = label(cfg, teacher=student, share=1.0)
    everything = compose(cfg, labels=labels, assessed=assessed, first=cfg.reliable, by=by, rest=renewed)
    student = retrain(cfg, labels=everything, seed=seed, generation=2)
    rungs.append({"A": evaluate(cfg, model=student)})
    return Plan(rungs)


@searched({"retrain.learning_rate": Choice(0.002, 0.005, 0.01, 0.02, 0.05, 0.1)})
def classical_st(cfg: Config, seed: int) -> Plan:
    """Classical self-training: a teacher labels everything once, and a new student learns from it (RWMS, Table 1)."""
    cfg = cfg.with_weight(rule="uniform")
    teacher = pretrain(cfg, seed=seed)
    student = retrain(cfg, labels=label(cfg, teacher=teacher, share=1.0), seed=seed, generation=1)
    return Plan([{"A": evaluate(cfg, model=teacher)}, {"A": evaluate(cfg, model=student)}])


def _augmented(cfg: Config) -> Config:
    training: Training = cfg.retrain or cfg.online
    return cfg.evolve(retrain=training.evolve(augment=training.augment.evolve(strong="jitter")))
