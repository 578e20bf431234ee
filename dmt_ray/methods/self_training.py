"""One model teaches itself, iteration by iteration: DST and CBST."""

from dmt_ray.config import Config
from dmt_ray.operations import evaluate, finetune, label, pretrain
from dmt_ray.plan import Plan


def dst(cfg: Config, seed: int) -> Plan:
    """Dynamic self-training: one model teaches itself, easiest labels first (DMT, Sec. 5.4)."""
    model = pretrain(cfg, seed=seed)
    rungs = [{"A": evaluate(cfg, model=model)}]
    for share in cfg.percentiles:  # the surest 20 % of each class, then 40 %, ... then all of it
        labels = label(cfg, teacher=model, share=share)
        model = finetune(cfg, start=model, labels=labels, seed=seed)
        rungs.append({"A": evaluate(cfg, model=model)})
    return Plan(rungs)


def cbst(cfg: Config, seed: int) -> Plan:
    """Class-balanced self-training: DST in which every pseudo label counts the same (DMT, Sec. 5.4)."""
    return dst(cfg.with_weight(rule="uniform"), seed)
