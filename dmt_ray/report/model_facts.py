"""What the records say of a trained model: for its card, for MLflow and for those who use it."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from dmt_ray.config import Model, SelectionRule
from dmt_ray.data.files import colours
from dmt_ray.deploy.model_info import DataUsed, ModelInfo, OwnScore, RuleScore
from dmt_ray.errors import MissingStages, ModelError
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.files import read_json
from dmt_ray.plan import Plan, Stage
from dmt_ray.plan.files import MODEL, weights_file
from dmt_ray.results.scores import measure, metrics, score, selected
from dmt_ray.store import DamagedStage, Store
from dmt_ray.store.record import RECORD, Record

PACKAGES = ("dmt-ray", "torch", "torchvision", "segmentation-models-pytorch", "timm")


def of_stage(folder: Path, name: str = MODEL, *, averaged: bool = False) -> ModelInfo:
    """What is known of a model by its stage alone.

    Args:
        folder: The stage's.
        name: Which of its models.
        averaged: Whether the moving average of the weights is meant.

    Raises:
        ModelError: If the record is damaged, or the stage has no such model.
    """
    from dmt_ray.models import task_of  # with torch, which readers of other results do without

    try:
        record = Record.from_json((folder / RECORD).read_bytes())
        description = read_json(folder / f"{name}.json")
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder} cannot be used: {error}") from None
    data: dict[str, Any] = record.config.get("data", {})
    crop = record.config.get("training", {}).get("augment", {}).get("crop")
    count, model = int(description["classes"]), Model(**description["model"])
    return ModelInfo(
        name=f"{record.operation}-{record.key[:8]} {description['side']}",
        model=model.evolve(weights_file=None, padding=None),
        task=task_of(model),
        **_classes(DatasetInfo(tuple(data.get("classes", ()))), count),
        size=data.get("size"),
        normalised=description.get("normalised", "imagenet"),
        statistics=description.get("statistics"),
        crop=crop,
        key=f"{record.key} {weights_file(name, averaged=averaged)}",
        side=description["side"],
        data=DataUsed(name=str(data.get("name", "")), fingerprint=str(data.get("fingerprint", "")), settings=data),
        seed=record.seed,
        code=_code(record),
        first_weights=description.get("first_weights"),
    )


def of_evaluation(
    store: Store, evaluation: Stage, plans: Iterable[Plan], info: DatasetInfo, **further: Any
) -> ModelInfo:
    """What is known of the model that an evaluation is about.

    Args:
        store: Holds the model and the scores.
        evaluation: Of the model.
        plans: Of all runs with the same settings, one a seed.
        info: Names and colours of the classes, and the splits.
        **further: Fields of `ModelInfo` that stand in no record: name, method, recipe, command.

    Raises:
        MissingStages: If the model is not stored.
    """
    trained, settings = evaluation.inputs["model"], evaluation.config
    member, averaged = getattr(settings, "member", "") or MODEL, bool(getattr(settings, "averaged", False))
    folder = store.open(trained)
    if not (folder / f"{member}.json").is_file():
        raise MissingStages(f"{trained.name} holds no model {member}")
    known = of_stage(folder, member, averaged=averaged)
    split, digest = info.splits.get(evaluation.seed, ("", ""))
    changes: dict[str, Any] = {
        "data": known.data.evolve(split=split, split_digest=digest),
        "scores": _rules(store, list(plans)),
        "score": _own(store, evaluation),
    }
    if info.classes:
        changes |= _classes(info, len(known.classes))
    if "name" in further:
        further["name"] = f"{further['name']} {evaluation.side}"
    return known.evolve(**changes | further)


def _classes(info: DatasetInfo, count: int) -> dict[str, Any]:
    """Names and colours of K classes: those of the data set, or else "class 0", ... and the colours of PASCAL VOC."""
    palette = colours(count) if info.palette is None else info.palette
    return {"classes": tuple(map(info.class_name, range(count))), "palette": palette.tolist()}


def _code(record: Record) -> dict[str, str]:
    """Commit and versions that a record names."""
    versions, git = record.made.get("versions", {}), record.made.get("git", {})
    code = {} if not git else {"commit": f"{git['commit']}{' with uncommitted changes' if git['dirty'] else ''}"}
    return code | {name: str(versions[name]) for name in PACKAGES if name in versions}


def _own(store: Store, evaluation: Stage) -> OwnScore | None:
    if not store.has(evaluation):
        return None
    validation, test = (metrics(store, evaluation)[which] for which in ("selection", "reported"))
    return OwnScore(
        measure=measure(store, evaluation),
        validation=score(store, evaluation),
        test=score(store, evaluation, "reported"),
        validation_images=validation.get("images"),
        test_images=test.get("images"),
    )


def _rules(store: Store, plans: Sequence[Plan]) -> tuple[RuleScore, ...]:
    """The scores of those of the runs that are complete."""
    complete = [plan for plan in plans if all(store.has(one) for rung in plan.rungs for one in rung.values())]
    chosen = [selected(store, plan) for plan in complete]
    rules: tuple[SelectionRule, ...] = ("last", "val", "paper")
    scores = ((rule, [one[rule].selection for one in chosen], [one[rule].reported for one in chosen]) for rule in rules)
    return tuple(_rule(*one) for one in scores) if chosen else ()


def _rule(rule: SelectionRule, validation: Sequence[float], test: Sequence[float]) -> RuleScore:
    return RuleScore(
        rule=rule,
        n=len(test),
        validation=statistics.fmean(validation),
        test=statistics.fmean(test),
        test_sd=statistics.stdev(test) if len(test) > 1 else None,
    )


def best_of(store: Store, plans: Mapping[int, Plan]) -> Stage | None:
    """The evaluation of the model with the highest validation score of the plans' last rungs; None: none is there."""
    scores = dict[Stage, float]()
    for plan in plans.values():
        for evaluation in plan.rungs[-1].values():
            with suppress(MissingStages, DamagedStage):
                scores[evaluation] = score(store, evaluation)
    return max(scores, key=lambda evaluation: scores[evaluation]) if scores else None
