"""Read scores and histories from the store: what searches maximise, and what tables and figures show."""

import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args

import pandas as pd

from dmt_ray.config import SIDES, SelectionRule, Side
from dmt_ray.plan import Plan, Rung, Stage
from dmt_ray.plan.files import CHOICE, HISTORY, METRICS, SCORES, SUMMARY
from dmt_ray.plan.measures import MEASURES, Measure, headline, measure_in
from dmt_ray.store import Store

Which = Literal["selection", "reported"]


def metrics(store: Store, evaluation: Stage) -> Mapping[str, Any]:
    """What an evaluate stage wrote: {"selection": scores, "reported": scores}."""
    return _json(store, evaluation, METRICS)


def measure(store: Store, evaluation: Stage) -> Measure:
    """The measure by which an evaluate stage scored its model."""
    return measure_in(metrics(store, evaluation)["selection"])


def score(store: Store, evaluation: Stage, which: Which = "selection") -> float:
    """The measure, in [0, 1], of an evaluate stage, on the validation images or on the test images."""
    return headline(metrics(store, evaluation)[which])


def scores(values: Mapping[str, Any]) -> dict[str, float]:
    """All whole-set scores of an evaluation, by metric, the measure first.

    In segmentation mIoU and pixel accuracy, in classification accuracy and fine-grained testing (DMT, Sec. 5.2.3).
    Where a moving average of the weights was scored, "last_weights_..." is what the weights themselves score.
    """
    names = ("accuracy", "fine_grained") if measure_in(values) == "accuracy" else ("miou", "pixel_accuracy")
    last = {f"last_weights_{name}": float(value) for name, value in values.get("last_weights", {}).items()}
    return {name: float(values[name]) for name in names} | last


def class_scores(values: Mapping[str, Any]) -> tuple[str, list[float | None]]:
    """The score of each class, and its name: "iou", or in classification "class_accuracy"; None: it is absent."""
    if measure_in(values) != "accuracy":
        return "iou", list(values["iou"])
    rows = values["confusion"]
    return "class_accuracy", [row[k] / sum(row) if sum(row) else None for k, row in enumerate(rows)]


def rung_score(store: Store, rung: Rung, which: Which = "selection") -> float:
    """Score in [0, 1] of a rung: the mean over its models.

    The mean, not the better of the two: choosing between A and B would add the luck of the choice to every trial.
    """
    return sum(score(store, evaluation, which) for evaluation in rung.values()) / len(rung)


def picked(store: Store, pick: Stage) -> Stage:
    """The model that a `pick` stage has chosen."""
    return pick.inputs[_json(store, pick, CHOICE)["picked"]]


class Selected(NamedTuple):
    """What a selection rule picks among the models of a plan; scores are in [0, 1]."""

    rung: int
    models: tuple[str, ...]  # "A", "B", or both where their mean is taken
    selection: float  # on the validation images
    reported: float  # on the test images
    snapshots: int  # how many models were compared, those inside trainings too; 1 where nothing was chosen


def selected(store: Store, plan: Plan) -> dict[SelectionRule, Selected]:
    """The three selection rules, applied to a plan whose evaluations are all stored.

    last: the mean over the models after the last rung; nothing is chosen. val: the model and rung that are best on the
    validation images. paper: those that are best on the test images, as DMT chooses between F_A and F_B
    (Algorithm 2, line 16) and between snapshots; biased upwards.
    """
    models = [(rung, side, one) for rung, rungs in enumerate(plan.rungs) for side, one in rungs.items()]
    compared = sum(_snapshots(store, evaluation) for _, _, evaluation in models)
    single = [
        Selected(rung, (side,), score(store, one), score(store, one, "reported"), compared)
        for rung, side, one in models
    ]
    last = len(plan.rungs) - 1
    selection, reported = (rung_score(store, plan.rungs[last], which) for which in get_args(Which))
    return {
        "last": Selected(last, tuple(plan.rungs[last]), selection, reported, 1),
        "val": max(single, key=lambda model: model.selection),  # of equal ones the earliest
        "paper": max(single, key=lambda model: model.reported),
    }


def _snapshots(store: Store, evaluation: Stage) -> int:
    """Number of models compared for an evaluated one: where a training keeps the best, all that it scored."""
    scores = store.open(evaluation.inputs["model"]) / SCORES
    return len(pd.read_csv(scores)) if scores.exists() else 1


def collapsed(store: Store, plan: Plan, rung: int) -> dict[str, str]:
    """The models that have collapsed under their pseudo labels.

    A model has collapsed if its validation score is less than half of what the same side had at rung 0. With wrong
    exponents a public repetition of DMT fell from 59 % to 22 %. The validation score counts, because what a search
    learns must not depend on the test images.

    Nothing is values at rung 0; of methods whose rung 0 is not the pretrained model; and of models whose pretrained
    validation score was at most twice that of the answer "everywhere the commonest class": half of it is then what one
    gets without having learnt anything, and a network of a few steps may well fall below that for a while.

    Args:
        store: Holds the evaluations of rung 0 and of this rung.
        plan: The plan.
        rung: Which rung.

    Returns:
        Side -> a sentence, for each model that has collapsed.
    """
    found = {}
    for side, evaluation in plan.rungs[rung].items() if rung else ():
        before = plan.rungs[0].get(side)
        if before is None or before.inputs["model"].origin(before.side) is not None:
            continue
        was, now, name = score(store, before), score(store, evaluation), measure(store, evaluation)
        if was > 2 * _commonest(metrics(store, before)["selection"]["confusion"], name) and now < was / 2:
            found[side] = (
                f"model {side} collapsed: its validation {MEASURES[name]} is {now:.2%} at rung {rung}, but was "
                f"{was:.2%} before any pseudo label"
            )
    return found


def _commonest(confusion: list[list[int]], name: Measure) -> float:
    """Score of a model that predicts the most common class everywhere."""
    counts = [sum(row) for row in confusion]
    accuracy = max(counts) / sum(counts)
    return accuracy if name == "accuracy" else accuracy / sum(count > 0 for count in counts)


def history(store: Store, stage: Stage, side: Side | None = None) -> pd.DataFrame:
    """The history of a training: a row for every five steps, or for a fiftieth of a long stage.

    Args:
        store: Holds it.
        stage: A pretrain, finetune, retrain or cotrain stage.
        side: Of a `cotrain` stage, whose history is about several models: which of them. Its columns lose
            their prefix, as "A.coverage", those of the other model are left out.
    """
    table = pd.read_csv(store.open(stage) / HISTORY)
    if not stage.config.joint or side is None:
        return table
    others = tuple(f"{other}." for other in SIDES if other != side)
    own = [name for name in table.columns if not name.startswith(others)]
    return table[own].rename(columns=lambda name: name.removeprefix(f"{side}."))


def summary(store: Store, labelling: Stage) -> Mapping[str, Any]:
    """What a label stage records about its labels: coverage per class and, where the truth is known, accuracy."""
    return _json(store, labelling, SUMMARY)


def _json(store: Store, stage: Stage, name: str) -> Mapping[str, Any]:
    values: Mapping[str, Any] = json.loads((store.open(stage) / name).read_text(encoding="utf-8"))
    return values
