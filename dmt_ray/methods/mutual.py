"""Two models teach each other: DMT and its variants."""

from dmt_ray.config import Config
from dmt_ray.methods.curriculum import generations
from dmt_ray.methods.first_teacher import labels_of
from dmt_ray.methods.searched import ANEW, DMS, GAMMA, SCHEDULE, searched
from dmt_ray.plan import Plan, Stage
from dmt_ray.plan.operations import ensemble, evaluate, finetune, label, pick, pretrain

GAMMA1 = {"weight.gamma1": GAMMA["weight.gamma1"]}


@searched({**GAMMA, **DMS, **SCHEDULE}, classification={**GAMMA, **SCHEDULE, **ANEW})
def dmt(cfg: Config, seed: int) -> Plan:
    """Dynamic Mutual Training (DMT, Sec. 4; Algorithm 2 read with Fig. 5: A's labels teach B and B's teach A).

    `cfg.order` is "simultaneous" (DMT: both teachers of an iteration are the models of the iteration before) or
    "sequential" (Pet study, Algorithm 1: the first teaches, then learns from the model it has just taught). Its N
    epochs between two reversals are `cfg.finetune.epochs`. Where `cfg.external` names masks from elsewhere, they take
    the place of B's first labels; in the sequential order, of those of the model that teaches first.

    For classification it is Algorithm 1: a chain of new models.
    """
    if cfg.data.task == "classification":
        return generations(cfg, seed)
    a, b = (pretrain(cfg, seed=seed, side=side, dms=True) for side in ("A", "B"))
    rungs = [{"A": evaluate(cfg, model=a), "B": evaluate(cfg, model=b)}]
    if cfg.order == "sequential" and cfg.first == "B":
        a, b = b, a
    for iteration, share in enumerate(cfg.percentiles):
        if cfg.order == "simultaneous":
            from_a = label(cfg, teacher=a, share=share)
            from_b = labels_of(cfg, teacher=b, share=share, iteration=iteration)
            a, b = (finetune(cfg, start=a, labels=from_b, seed=seed), finetune(cfg, start=b, labels=from_a, seed=seed))
        else:
            if cfg.first == "val_each" or (cfg.first == "val" and iteration == 0):
                a, b = pick(cfg, models=(a, b), better=True), pick(cfg, models=(a, b), better=False)
            from_a = labels_of(cfg, teacher=a, share=share, iteration=iteration)
            b = finetune(cfg, start=b, labels=from_a, seed=seed)
            a = finetune(cfg, start=a, labels=label(cfg, teacher=b, share=share), seed=seed)
        rungs.append(_scores(cfg, a, b))
    return Plan(rungs, ensemble(cfg, rungs[-1]))


def _scores(cfg: Config, a: Stage, b: Stage) -> dict[str, Stage]:
    """Evaluations by model name; where models were picked by their scores, A is the one that taught first."""
    if cfg.order == "sequential" and cfg.first == "B":
        a, b = b, a
    return {"A": evaluate(cfg, model=a), "B": evaluate(cfg, model=b)}


@searched({**GAMMA1, **DMS, **SCHEDULE}, classification={**GAMMA1, **SCHEDULE, **ANEW})
def dmt_naive(cfg: Config, seed: int) -> Plan:
    """DMT weighted by the student's confidence alone, without the three cases (DMT, Sec. 5.4)."""
    return dmt(cfg.with_weight(rule="confidence"), seed)


@searched({**GAMMA, **DMS, **SCHEDULE}, classification={**GAMMA, **SCHEDULE, **ANEW})
def dmt_flip(cfg: Config, seed: int) -> Plan:
    """DMT that relabels what the student is more confident about, instead of leaving it out (DMT, Sec. 5.4)."""
    return dmt(cfg.with_weight(rule="flip"), seed)
