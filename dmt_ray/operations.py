"""The vocabulary of plans: pretrain, label, finetune, evaluate. Calling one does no work; it returns a Stage.

Each operation takes the whole `Config` and keeps only the slice it reads, so that a setting which cannot change a
stage cannot change its key either, and a method cannot hand an operation the wrong slice.
"""

from dmt_ray.config import Config, Side
from dmt_ray.plan import Operation, Stage
from dmt_ray.slices import Evaluate, Finetune, Label, Pretrain

# Raise a revision when the same settings would give other numbers; tests/golden/ says when that is due.
PRETRAIN = Operation("pretrain", revision=1)
LABEL = Operation("label", revision=1)
FINETUNE = Operation("finetune", revision=1)
EVALUATE = Operation("evaluate", revision=1)


def pretrain(cfg: Config, *, seed: int, side: Side = "A", dms: bool = False) -> Stage:
    """Train a model on labelled images alone.

    Args:
        cfg: Settings of the method.
        seed: Seed of the initial weights, the order of the images and their augmentation.
        side: Which of the two models; A and B never draw the same random numbers.
        dms: Whether the model sees only its half of Difference Maximized Sampling (DMT, Sec. 4.1.2), the share
            `cfg.dms_alpha`, or all labelled images.
    """
    sampled = dms and cfg.dms_alpha < 1
    config = Pretrain(
        data=cfg.data,
        split=cfg.split.for_seed(seed),
        model=cfg.model_of(side),
        training=cfg.pretrain,
        side=side,
        images="dms" if sampled else "labelled",
        dms_alpha=cfg.dms_alpha if sampled else 1.0,
    )
    return Stage(PRETRAIN, config, seed)


def pretrain_oracle(cfg: Config, *, seed: int) -> Stage:
    """Train model A on all train images with their true labels: the upper bound of the papers.

    With `cfg.coarse` the labels of images outside the labelled list are coarse, as in DMT, Table 6.
    """
    config = Pretrain(
        data=cfg.data,
        split=cfg.split.for_seed(seed),
        model=cfg.model,
        training=cfg.oracle,
        side="A",
        images="all",
        coarse=cfg.coarse,
    )
    return Stage(PRETRAIN, config, seed)


def label(cfg: Config, *, teacher: Stage, share: float) -> Stage:
    """Let a teacher label the unlabelled images, and keep the surest share of the pixels (DMT, Sec. 4.2.2)."""
    config = Label(data=cfg.data, split=cfg.split.for_seed(teacher.seed), rule=cfg.label, share=share)
    return Stage(LABEL, config, teacher.seed, {"teacher": teacher})


def finetune(cfg: Config, *, start: Stage, labels: Stage | None, seed: int) -> Stage:
    """Train a model further on labelled and pseudo-labelled images together (DMT, Eq. 3-6).

    Args:
        cfg: Settings of the method; `cfg.weight` says how much each pseudo label counts.
        start: The model to start from: its weights are taken over, momentum and schedule are not.
        labels: Pseudo labels, or None where the rule makes them online.
        seed: Seed of the order of the images and their augmentation.
    """
    online = cfg.weight.makes_labels
    if online != (labels is None):
        raise ValueError(f"rule {cfg.weight.rule!r} {'makes its labels itself' if online else 'needs labels'}")
    config = Finetune(
        data=cfg.data,
        split=cfg.split.for_seed(seed),
        training=cfg.online if online else cfg.finetune,
        weight=cfg.weight,
    )
    return Stage(FINETUNE, config, seed, {"start": start} | ({} if labels is None else {"labels": labels}))


def evaluate(cfg: Config, *, model: Stage) -> Stage:
    """Score a model on the images that select and on the images that are reported."""
    return Stage(EVALUATE, Evaluate(data=cfg.data, split=cfg.split.for_seed(model.seed)), model.seed, {"model": model})


def side_of(stage: Stage) -> Side:
    """The model that a stage is about; for a labelling, the teacher."""
    side: Side | None = getattr(stage.config, "side", None)
    return side or side_of(next(stage.inputs[name] for name in ("start", "teacher", "model") if name in stage.inputs))
