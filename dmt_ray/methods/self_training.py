"""One model teaches itself: DST, DST with the steps of two models, CBST, and Pseudo-Label."""

from dmt_ray.config import Config, Training
from dmt_ray.methods.first_teacher import labels_of
from dmt_ray.methods.searched import GAMMA, LONG, SCHEDULE, searched
from dmt_ray.methods.space import Uniform
from dmt_ray.plan import Plan
from dmt_ray.plan.operations import evaluate, finetune, pretrain


@searched({**GAMMA, **SCHEDULE})
def dst(cfg: Config, seed: int) -> Plan:
    """Dynamic self-training: one model teaches itself, easiest labels first (DMT, Sec. 5.4).

    Where `cfg.external` names masks from elsewhere, they teach it first.
    """
    model = pretrain(cfg, seed=seed)
    rungs = [{"A": evaluate(cfg, model=model)}]
    for iteration, share in enumerate(cfg.percentiles):  # the most confident 20 % of each class, ... then all of it
        labels = labels_of(cfg, teacher=model, share=share, iteration=iteration)
        model = finetune(cfg, start=model, labels=labels, seed=seed)
        rungs.append({"A": evaluate(cfg, model=model)})
    return Plan(rungs)


@searched({**GAMMA, **SCHEDULE})
def dst_double(cfg: Config, seed: int) -> Plan:
    """DST with the steps of two models: every training takes twice the epochs, each on its own poly schedule.

    What DMT spends on a second model goes here into more steps of one, so that a row of two models can be compared
    with a row of one at equal compute. With Difference Maximized Sampling DMT pretrains each model on a share
    `cfg.dms_alpha` of the labelled images only; this control is then given a little more than DMT's own steps.
    """
    return dst(cfg.evolve(pretrain=_doubled(cfg.pretrain), finetune=_doubled(cfg.finetune)), seed)


@searched(LONG)
def cbst(cfg: Config, seed: int) -> Plan:
    """Class-balanced self-training: DST in which every pseudo label counts the same (DMT, Sec. 5.4)."""
    return dst(cfg.with_weight(rule="uniform"), seed)


@searched(
    {
        "weight.rise_start": Uniform(0, 0.5, step=0.1),
        "weight.rise_end": Uniform(0.5, 1, step=0.1),
        "weight.alpha_f": Uniform(0.5, 5, step=0.5),
    }
)
def pseudo_label(cfg: Config, seed: int) -> Plan:
    """Pseudo-Label: the model's own predictions at each step are its labels, with a rising weight (Lee, Eq. 14-16).

    As in the Pet study, the model first converges on the labelled images.
    """
    cfg = cfg.with_weight(rule="rising")
    model = pretrain(cfg, seed=seed)
    taught = finetune(cfg, start=model, labels=None, seed=seed)
    return Plan([{"A": evaluate(cfg, model=model)}, {"A": evaluate(cfg, model=taught)}])


def _doubled(training: Training) -> Training:
    return training.evolve(epochs=2 * training.epochs)
