"""The vocabulary of plans: pretrain, label, finetune, retrain, cotrain, evaluate and what goes between them.

Calling an operation does no work; it returns a Stage.

Each operation takes the whole `Config` and keeps only the slice it reads, so that a setting which cannot change a
stage cannot change its key either, and a method cannot hand an operation the wrong slice.
"""

from collections.abc import Mapping
from typing import Any, Literal

from dmt_ray.config import Config, Side
from dmt_ray.errors import ConfigError
from dmt_ray.plan import Operation, Stage
from dmt_ray.plan.slices import Assess, Compose, Cotrain, Evaluate, Finetune, Label, Pick, Pretrain, Retrain

# Raise a revision when the same settings would give other numbers; tests/golden/ says when that is due.
PRETRAIN = Operation("pretrain", revision=1)
LABEL = Operation("label", revision=1)
FINETUNE = Operation("finetune", revision=1)
RETRAIN = Operation("retrain", revision=1)
COTRAIN = Operation("cotrain", revision=1)
ASSESS = Operation("assess", revision=1)
COMPOSE = Operation("compose", revision=1)
PICK = Operation("pick", revision=1)
EVALUATE = Operation("evaluate", revision=1)

TRAININGS = frozenset({"pretrain", "finetune", "retrain", "cotrain"})
"""Names of the operations whose work is optimizer steps."""


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


def retrain(cfg: Config, *, labels: Stage, seed: int, generation: int) -> Stage:
    """Train a new model A from its first weights on labelled and pseudo-labelled images (DMT, Algorithm 1).

    Args:
        cfg: Settings of the method; `cfg.weight` says how much each pseudo label counts.
        labels: Pseudo labels, of all unlabelled images or of some (see `compose`).
        seed: Seed of the experiment.
        generation: From 1 on. Each has its own first weights, order and augmentation.
    """
    config = Retrain(
        data=cfg.data,
        split=cfg.split.for_seed(seed),
        model=cfg.model,
        training=cfg.retrain or cfg.online,
        weight=cfg.weight,
        side="A",
        generation=generation,
        images=_share_of_images(labels),
    )
    return Stage(RETRAIN, config, seed, {"labels": labels})


def _share_of_images(labels: Stage) -> float:
    """The share of the unlabelled images that have labels."""
    config = labels.config
    if isinstance(config, Compose):
        return 1.0 if config.whole else config.first
    if isinstance(config, Label) and config.data.task == "classification":
        return config.share
    return 1.0


def cotrain(
    cfg: Config,
    *,
    start: Mapping[Side, Stage],
    seed: int,
    teacher: Literal["student", "mean"],
    taught_by: Literal["own", "peer", "both"],
    loss: Literal["cross_entropy", "squared"] = "cross_entropy",
    rectified: bool = False,
    photometric: bool = True,
    **usual: Any,
) -> Stage:
    """Train one or two students further by teachers that change with them, step by step (RML, Eq. 2-5).

    Args:
        cfg: Settings of the method; what `cfg.consistency` sets goes before what is usual.
        start: The students by name: pretrained models, or "A" and "B" of another such stage.
        seed: Seed of the order of the images, their augmentation and the noise.
        teacher: Who labels: the student as it is, or its mean teacher, the moving average of its weights.
        taught_by: Whose labels a student learns: its own teacher's, the other's, or both.
        loss: Cross-entropy with the teacher's class, or squared difference to its probabilities.
        rectified: Whether labels are rectified by prototypes (RML, Eq. 6-11).
        photometric: Whether input noise is photometric augmentation beside CutMix, or CutMix alone.
        usual: The method's own values of the fields of `config.Consistency`.

    Raises:
        ConfigError: If the data are not for segmentation.
    """
    if cfg.data.task != "segmentation":
        raise ConfigError(f"methods that train on two views of an image are for segmentation; {cfg.data.name} is not")
    asked = cfg.consistency.model_dump(exclude_none=True)
    values = {"weight": 1.0, "threshold": 0.0, "noise": "both", "ema_decay": 0.99, "dropout": 0.5, "survival": 0.8}
    values |= {"prototype_momentum": 0.99, **usual}
    noise = asked.pop("noise", values.pop("noise"))
    if noise not in ("model", "both"):  # what is set by itself counts all the same
        values |= {"dropout": 0.0, "survival": 1.0}
    values |= asked
    values.pop("stages", None)  # a matter of the plan
    config = Cotrain(
        data=cfg.data,
        split=cfg.split.for_seed(seed),
        training=cfg.cotrain or cfg.online,
        students=len(start),
        teacher=teacher,
        taught_by=taught_by,
        loss=loss,
        rectified=rectified,
        photometric=photometric and noise in ("input", "both"),
        cutmix=noise in ("cutmix", "input", "both"),
        **values,
    )
    inputs: dict[str, Stage] = {side: model for side, model in start.items()}
    return Stage(COTRAIN, config, seed, inputs)


def assess(cfg: Config, *, labels: Stage, judge: Stage) -> Stage:
    """Let another teacher judge labels: each one's rank in its own prediction, and each image's mIoU (RWMS, Eq. 4).

    Args:
        cfg: Settings of the method.
        labels: A labelling of all pixels.
        judge: The other teacher.

    Raises:
        ConfigError: If the data are not for segmentation: an image's reliability is that of its many pixels.
    """
    if cfg.data.task != "segmentation":
        raise ConfigError(f"methods that judge images by their pixels are for segmentation; {cfg.data.name} is not")
    config = Assess(data=cfg.data, split=cfg.split.for_seed(judge.seed))
    return Stage(ASSESS, config, judge.seed, {"labels": labels, "judge": judge})


def compose(
    cfg: Config,
    *,
    labels: Stage,
    assessed: Stage,
    first: float,
    by: Literal["reliability", "chance"] = "reliability",
    rest: Stage | None = None,
) -> Stage:
    """The labels of a phase, with the rank of each: of the images that come first, or of all (RWMS, Algorithm 1).

    Args:
        cfg: Settings of the method.
        labels: A labelling of all pixels: those of the images that come first.
        assessed: What the other teacher says to them.
        first: Share of the unlabelled images that come first.
        by: How they are chosen: the two teachers agree most on them, or by lot.
        rest: Another labelling, for all other images; None: these are left out.
    """
    config = Compose(
        data=cfg.data, split=cfg.split.for_seed(labels.seed), by=by, first=first, whole=first == 1 or rest is not None
    )
    inputs = {"labels": labels, "assessed": assessed} | ({} if rest is None else {"rest": rest})
    return Stage(COMPOSE, config, labels.seed, inputs)


def pick(cfg: Config, *, models: tuple[Stage, Stage], better: bool) -> Stage:
    """One of two models: the better on the validation images, or the other one (000, Sec. 4.2).

    Args:
        cfg: Settings of the method.
        models: Two trained models; of equal ones the first is the better.
        better: Which of them.
    """
    first, second = models
    config = Pick(data=cfg.data, split=cfg.split.for_seed(first.seed), better=better)
    scores = {"first_scores": evaluate(cfg, model=first), "second_scores": evaluate(cfg, model=second)}
    return Stage(PICK, config, first.seed, {"first": first, "second": second, **scores})


def evaluate(cfg: Config, *, model: Stage, member: Literal["", "A", "B"] = "") -> Stage:
    """Score a model on the validation images and on the images that are reported.

    Where a moving average of its weights was kept, it is what is scored.

    Args:
        cfg: Settings of the method.
        model: The stage that trained it.
        member: Which of the models of a `cotrain` stage.
    """
    config = Evaluate(data=cfg.data, split=cfg.split.for_seed(model.seed), member=member, averaged=_is_averaged(model))
    return Stage(EVALUATE, config, model.seed, {"model": model})


def _is_averaged(model: Stage) -> bool:
    config = model.config
    if isinstance(config, Cotrain):
        return config.teacher == "mean"
    return isinstance(config, Pretrain | Finetune | Retrain) and config.training.ema > 0


def side_of(stage: Stage) -> Side:
    """The model that a stage is about; for a labelling, the teacher; A for what is about both."""
    config = stage.config
    if isinstance(config, Evaluate) and config.member:
        return config.member
    if isinstance(config, Cotrain | Pick):
        return "A"
    side: Side | None = getattr(config, "side", None)
    names = ("start", "teacher", "model", "labels")
    return side or side_of(next(stage.inputs[name] for name in names if name in stage.inputs))
