"""A chain of new models, each taught by the one before: Curriculum Labeling, and DMT for classification."""

from dmt_ray.config import Config
from dmt_ray.methods.searched import ANEW, LONG, SCHEDULE, searched
from dmt_ray.plan import Plan
from dmt_ray.plan.operations import evaluate, label, pretrain, retrain


@searched(LONG, classification={**SCHEDULE, **ANEW})
def curriculum(cfg: Config, seed: int) -> Plan:
    """Curriculum Labeling: every model starts from scratch, all pseudo labels count the same (DMT, Sec. 5.3.1; CL)."""
    return generations(cfg.with_weight(rule="uniform"), seed)


def generations(cfg: Config, seed: int) -> Plan:
    """A chain of models, each trained from scratch and taught by the one before it (DMT, Algorithm 1)."""
    model = pretrain(cfg, seed=seed)
    rungs = [{"A": evaluate(cfg, model=model)}]
    for generation, share in enumerate(cfg.percentiles, start=1):
        labels = label(cfg, teacher=model, share=share)
        model = retrain(cfg, labels=labels, seed=seed, generation=generation)
        rungs.append({"A": evaluate(cfg, model=model)})
    return Plan(rungs)
