"""Learning across views of an image: Mean Teacher with CutMix, FixMatch, UniMatch and CPS, in our operations.

All start from the same pretrained models as the other methods, so that a table can hold them on equal terms.
"""

from dmt_ray.config import SIDES, Config
from dmt_ray.methods.searched import searched
from dmt_ray.methods.space import Choice, Uniform
from dmt_ray.plan import Plan
from dmt_ray.plan.operations import cotrain, ensemble, evaluate, pretrain

WEIGHT = {"consistency.weight": Choice(0.5, 1.0, 1.5, 3.0, 6.0)}
THRESHOLD = {"consistency.threshold": Uniform(0.5, 0.99)}
EMA_DECAY = {"consistency.ema_decay": Choice(0.9, 0.97, 0.99, 0.997, 0.999)}


@searched({**WEIGHT, **THRESHOLD, **EMA_DECAY})
def mean_teacher(cfg: Config, seed: int) -> Plan:
    """Mean Teacher with CutMix: a student matches the probabilities of its moving average (French et al. 2020)."""
    model = pretrain(cfg, seed=seed)
    taught = cotrain(
        cfg, start={"A": model}, seed=seed, teacher="mean", taught_by="own", loss="squared",
        threshold=0.97, noise="input", photometric=False,
    )  # fmt: skip
    return Plan([{"A": evaluate(cfg, model=model)}, {"A": evaluate(cfg, model=taught, member="A")}])


@searched({**WEIGHT, **THRESHOLD})
def fixmatch(cfg: Config, seed: int) -> Plan:
    """FixMatch: confident predictions on a weak view are the labels of a strong view (Sohn et al. 2020)."""
    model = pretrain(cfg, seed=seed)
    taught = cotrain(
        cfg, start={"A": model}, seed=seed, teacher="student", taught_by="own", threshold=0.95, noise="input"
    )
    return Plan([{"A": evaluate(cfg, model=model)}, {"A": evaluate(cfg, model=taught, member="A")}])


@searched({**WEIGHT, **THRESHOLD})
def unimatch(cfg: Config, seed: int) -> Plan:
    """UniMatch: two strong views, and a weak one with dropped features, learn its labels (Yang et al. 2023)."""
    model = pretrain(cfg, seed=seed)
    taught = cotrain(
        cfg, start={"A": model}, seed=seed, teacher="student", taught_by="own", threshold=0.95, noise="input",
        strong="jitter", boxes="small", views=2, features="stream",
    )  # fmt: skip
    return Plan([{"A": evaluate(cfg, model=model)}, {"A": evaluate(cfg, model=taught, member="A")}])


@searched({**WEIGHT, **THRESHOLD, **EMA_DECAY})
def unimatch_v2(cfg: Config, seed: int) -> Plan:
    """UniMatch V2: two strong views with complementary features learn a mean teacher's labels (Yang et al. 2025)."""
    model = pretrain(cfg, seed=seed)
    taught = cotrain(
        cfg, start={"A": model}, seed=seed, teacher="mean", taught_by="own", threshold=0.95, noise="input",
        strong="jitter", boxes="small", views=2, features="complementary", ema_decay=0.996, rising_decay=True,
    )  # fmt: skip
    return Plan([{"A": evaluate(cfg, model=model)}, {"A": evaluate(cfg, model=taught, member="A")}])


@searched(WEIGHT)
def cps(cfg: Config, seed: int) -> Plan:
    """Cross Pseudo Supervision with CutMix: each model learns the other's current predictions (Chen et al. 2021)."""
    models = {side: pretrain(cfg, seed=seed, side=side) for side in SIDES}
    taught = cotrain(
        cfg, start=models, seed=seed, teacher="student", taught_by="peer", weight=1.5, noise="input", photometric=False
    )
    last = {side: evaluate(cfg, model=taught, member=side) for side in SIDES}
    return Plan([{side: evaluate(cfg, model=model) for side, model in models.items()}, last], ensemble(cfg, last))
