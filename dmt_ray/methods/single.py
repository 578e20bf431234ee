"""Methods without pseudo labels from an earlier model: baseline, oracle, Online ST."""

from dmt_ray.config import Config
from dmt_ray.methods.searched import searched
from dmt_ray.methods.space import Choice, Uniform
from dmt_ray.plan import Plan
from dmt_ray.plan.operations import evaluate, finetune, pretrain, pretrain_oracle


@searched({"pretrain.learning_rate": Choice(0.002, 0.005, 0.01, 0.02, 0.05, 0.1)})
def baseline(cfg: Config, seed: int) -> Plan:
    """Supervised only: one model on the labelled images (DMT, Sec. 5.2.2)."""
    return Plan([{"A": evaluate(cfg, model=pretrain(cfg, seed=seed))}])


@searched({"oracle.learning_rate": Choice(0.002, 0.005, 0.01, 0.02, 0.05, 0.1)})
def oracle(cfg: Config, seed: int) -> Plan:
    """The upper bound: one model on all train images with their true labels (DMT, Sec. 5.2).

    With `cfg.coarse` it stands for human supervision of lower quality: fine labels of the labelled images, coarse ones
    of all others (DMT, Sec. 5.3.2 and Table 6, where VOC's SBD masks are coarse as they come).
    """
    return Plan([{"A": evaluate(cfg, model=pretrain_oracle(cfg, seed=seed))}])


@searched({"weight.threshold": Uniform(0.5, 0.99)})
def online_st(cfg: Config, seed: int) -> Plan:
    """Online self-training: the model's own confident predictions are its labels at every step (DMT, Sec. 5.4)."""
    cfg = cfg.with_weight(rule="online")
    model = pretrain(cfg, seed=seed)
    taught = finetune(cfg, start=model, labels=None, seed=seed)
    return Plan([{"A": evaluate(cfg, model=model)}, {"A": evaluate(cfg, model=taught)}])
