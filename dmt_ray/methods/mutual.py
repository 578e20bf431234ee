"""Two models teach each other: DMT and its variants."""

from dmt_ray.config import Config
from dmt_ray.operations import evaluate, finetune, label, pretrain
from dmt_ray.plan import Plan


def dmt(cfg: Config, seed: int) -> Plan:
    """Dynamic Mutual Training (DMT, Sec. 4; Algorithm 2 read with Fig. 5: A's labels teach B and B's teach A).

    `cfg.order` is "simultaneous" (DMT: both teachers of an iteration are the models of the iteration before) or
    "sequential" (000, Algorithm 1: `cfg.first` teaches, then learns from the model it has just taught). The N epochs
    between two reversals of 000 are `cfg.finetune.epochs`.
    """
    models = {side: pretrain(cfg, seed=seed, side=side, dms=True) for side in ("A", "B")}
    rungs = [{side: evaluate(cfg, model=model) for side, model in models.items()}]
    for share in cfg.percentiles:
        a, b = models["A"], models["B"]
        if cfg.order == "simultaneous":
            from_a, from_b = label(cfg, teacher=a, share=share), label(cfg, teacher=b, share=share)
            a, b = (
                finetune(cfg, start=a, labels=from_b, seed=seed),
                finetune(cfg, start=b, labels=from_a, seed=seed),
            )
        elif cfg.first == "A":
            b = finetune(cfg, start=b, labels=label(cfg, teacher=a, share=share), seed=seed)
            a = finetune(cfg, start=a, labels=label(cfg, teacher=b, share=share), seed=seed)
        else:
            a = finetune(cfg, start=a, labels=label(cfg, teacher=b, share=share), seed=seed)
            b = finetune(cfg, start=b, labels=label(cfg, teacher=a, share=share), seed=seed)
        models = {"A": a, "B": b}
        rungs.append({side: evaluate(cfg, model=model) for side, model in models.items()})
    return Plan(rungs)


def dmt_naive(cfg: Config, seed: int) -> Plan:
    """DMT weighed by the student's confidence alone, without the three cases (DMT, Sec. 5.4)."""
    return dmt(cfg.with_weight(rule="confidence"), seed)


def dmt_flip(cfg: Config, seed: int) -> Plan:
    """DMT that relabels what the student is surer of, instead of leaving it out (DMT, Sec. 5.4)."""
    return dmt(cfg.with_weight(rule="flip"), seed)
