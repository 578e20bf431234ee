"""Turn stored histories into metric points on one continuous step axis.

A metric is called "<section>/<what>", of one model "<section>/<what>.A", and of one of several seeds
"<section>/<what>.A.seed0". MLflow draws the sections in the order of the alphabet, and what has none at the end:

- iterations: scores over iterations
- labels: the error of pseudo labels, and how many are used
- loss
- other: what else a training notes
- per_class: scores of each class, means over models and seeds
- none: how good it is in the end; see `finals`
"""

import math
import statistics
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple, get_args

import pandas as pd

from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.plan import Plan, Stage
from dmt_ray.plan.files import EXAMPLES, SCORES
from dmt_ray.results import names
from dmt_ray.results.scores import (
    Which,
    class_scores,
    history,
    measure,
    metrics,
    picked,
    rung_score,
    scores,
    selected,
    summary,
)
from dmt_ray.store import Store

NO_METRIC = {"step", "epoch"}  # columns of a history


class Point(NamedTuple):
    """One value of a metric. `when`, in milliseconds since 1970, is the store's: a stage always gives the same."""

    name: str
    value: float
    step: int
    when: int


class Unit(NamedTuple):
    """The work that a rung adds for one model of one seed."""

    name: str  # "<rung>.<side>", and ".seed<seed>" where there are several seeds
    seed: int
    rung: int
    side: str
    evaluation: Stage


def units(plans: Mapping[int, Plan]) -> Iterator[Unit]:
    """All units of the plans of one trial, rung by rung."""
    for rung in range(max((len(plan.rungs) for plan in plans.values()), default=0)):
        for seed, plan in plans.items():
            for side, evaluation in plan.rungs[rung].items():
                yield Unit(f"{rung}.{side}{_seed(plans, seed)}", seed, rung, side, evaluation)


def points(store: Store, plans: Mapping[int, Plan], unit: Unit) -> list[Point]:
    """The metrics of a unit. Steps count optimizer steps over all stages of the model, or rungs.

    Raises:
        StoreError, MissingStages: If a stage of the unit is not in the store, or damaged.
    """
    before = _trained_before(store, plans[unit.seed], unit.rung)
    found, offset = list[Point](), 0
    for stage in _trained(store, unit.evaluation):
        if stage not in before:
            found += _training(store, stage, unit, offset)
        offset += steps(store, stage)
    suffix = f".{unit.side}{_seed(plans, unit.seed)}"
    return [
        point._replace(name=f"{point.name}{suffix}")
        for point in (*found, *_scores(store, unit))
        if math.isfinite(point.value)
    ]


def rung_points(store: Store, plans: Mapping[int, Plan], rung: int, info: DatasetInfo) -> list[Point]:
    """The scores of a rung, also those of each class: means over seeds and models."""
    evaluations = [evaluation for plan in plans.values() for evaluation in plan.rungs[rung].values()]
    when, name = max(ended(store, evaluation) for evaluation in evaluations), measure(store, evaluations[0])
    means = {
        which: statistics.fmean(rung_score(store, plan.rungs[rung], which) for plan in plans.values())
        for which in get_args(Which)
    }
    found = [Point(f"iterations/{name}_{which}", mean, rung, when) for which, mean in means.items()]
    return [*found, *_class_points(store, evaluations, rung, when, info)]


def finals(store: Store, plans: Mapping[int, Plan]) -> dict[str, float]:
    """The scores of a complete trial under the three selection rules (all in [0, 1], mean over seeds).

    score: on the validation images after the last rung, what a search maximises. reported_last, reported_val,
    reported_paper: on the test images, see `scores.selected`, which chooses for each seed by itself. best_rung:
    the rung that "val" chooses, mean over seeds.
    """
    seeds = [selected(store, plan) for plan in plans.values()]
    return {
        "score": statistics.fmean(seed["last"].selection for seed in seeds),
        "best_rung": statistics.fmean(seed["val"].rung for seed in seeds),
        **{f"reported_{rule}": statistics.fmean(seed[rule].reported for seed in seeds) for rule in seeds[0]},
    }


def final_points(store: Store, plans: Mapping[int, Plan]) -> list[Point]:
    """The same as points, at the last rung."""
    rungs, times = min(len(plan.rungs) for plan in plans.values()), span(store, plans)
    return [Point(name, value, rungs - 1, times[1] if times else 0) for name, value in finals(store, plans).items()]


def histories(store: Store, plans: Mapping[int, Plan]) -> dict[str, pd.DataFrame]:
    """Per model (and seed) the histories of all its stored stages on one step axis, for `figures.training_curves`."""
    found: dict[str, pd.DataFrame] = {}
    for seed, plan in plans.items():
        for side in plan.rungs[-1]:
            pieces, offset = [], 0
            for number, rung in enumerate(plan.rungs):
                if side not in rung or not store.has(rung[side]):
                    break
                before = _trained_before(store, plan, number)
                for stage in _trained(store, rung[side]):
                    if stage not in before:
                        piece = history(store, stage, rung[side].side)
                        pieces.append(piece.assign(step=piece["step"] + offset, rung=number))
                        offset += steps(store, stage)
            if pieces:
                found[f"{side}{f', seed {seed}' if len(plans) > 1 else ''}"] = pd.concat(pieces, ignore_index=True)
    return found


def finetunings(store: Store, plan: Plan, side: str = "A") -> list[Stage]:
    """The trainings of one model on pseudo labels whose evaluation is stored, first iteration first."""
    found: list[Stage] = []
    for rung in plan.rungs:
        if side in rung and store.has(rung[side]):
            found = [stage for stage in _trained(store, rung[side]) if EXAMPLES in stage.config.writes]
    return found


def steps(store: Store, stage: Stage) -> int:
    """Optimizer steps of each model of a training."""
    return int(history(store, stage)["step"].iloc[-1])


def span(store: Store, plans: Mapping[int, Plan], executed: Collection[str] | None = None) -> tuple[int, int] | None:
    """When the first of the stored stages began and the last one ended, in milliseconds since 1970.

    `executed` holds the keys of the stages that count; None: all. Where no stage counts there is no span.
    """
    times = [
        (end - round(1000 * took(store, stage)), end)
        for stage in dict.fromkeys(stage for plan in plans.values() for stage in plan.stages())
        if (executed is None or stage.key in executed) and store.has(stage)
        for end in [ended(store, stage)]
    ]
    return (min(begin for begin, _ in times), max(end for _, end in times)) if times else None


def ended(store: Store, stage: Stage) -> int:
    """When a stage was finished, in milliseconds since 1970."""
    return round(1000 * datetime.fromisoformat(store.record(stage).made["when"]).timestamp())


def took(store: Store, stage: Stage) -> float:
    """How long a stage took, in seconds; 0 if its record does not say."""
    return float(store.record(stage).made.get("seconds", 0.0))


def _trained(store: Store, evaluation: Stage) -> list[Stage]:
    """The trainings behind an evaluated model, in order.

    A model that was trained anew comes after the one that has labelled for it: its generations are one story.
    """
    chain: list[Stage] = []
    stage: Stage | None = evaluation.inputs["model"]
    while stage is not None:
        if stage.config.trains:
            chain.insert(0, stage)
        stage = picked(store, stage) if stage.config.chooses else stage.origin(evaluation.side)
    return chain


def _trained_before(store: Store, plan: Plan, rung: int) -> set[Stage]:
    """The trainings behind all models of the rungs before one."""
    return {stage for models in plan.rungs[:rung] for model in models.values() for stage in _trained(store, model)}


def _training(store: Store, stage: Stage, unit: Unit, offset: int) -> Iterator[Point]:
    end, seconds, total = ended(store, stage), took(store, stage), steps(store, stage)
    tables = [history(store, stage, unit.evaluation.side)]
    snapshots = store.open(stage) / SCORES
    if snapshots.exists():
        renamed = {"selection_miou": "snapshot_selection", "reported_miou": "snapshot_reported"}
        tables.append(pd.read_csv(snapshots).rename(columns=renamed))
    for table in tables:
        columns = [str(column) for column in table if column not in NO_METRIC and "." not in str(column)]
        for row in table.to_dict("records"):
            step = int(row["step"])
            when = end - round(1000 * seconds * (1 - step / total))
            for column in columns:
                section = "loss" if column.endswith("loss") else "other"
                yield Point(f"{section}/{column}", float(row[column]), offset + step, when)
    if "labels" in stage.inputs:
        labels, when = summary(store, stage.inputs["labels"]), ended(store, stage.inputs["labels"])
        if labels.get("kept") is not None:
            yield Point("labels/kept", float(labels["kept"]), unit.rung, when)
        if labels.get("accuracy") is not None:
            yield Point("labels/error", 1 - float(labels["accuracy"]), unit.rung, when)


def _scores(store: Store, unit: Unit) -> Iterator[Point]:
    when = ended(store, unit.evaluation)
    for which, values in metrics(store, unit.evaluation).items():
        for name, value in scores(values).items():
            yield Point(f"iterations/{name}_{which}", value, unit.rung, when)


def _class_points(
    store: Store, evaluations: Iterable[Stage], rung: int, when: int, info: DatasetInfo
) -> Iterator[Point]:
    """Scores of each class, and coverage and error of its labels: means over those models that have a value."""
    found: dict[str, list[list[float | None]]] = {}
    for evaluation in evaluations:
        for which, values in metrics(store, evaluation).items():
            title, per_class = class_scores(values)
            found.setdefault(f"{title}_{which}", []).append(per_class)
        if "labels" in (trained := evaluation.inputs["model"]).inputs:
            labels = summary(store, trained.inputs["labels"])
            accuracies = labels.get("class_accuracy") or []
            found.setdefault("labels_coverage", []).append(labels.get("coverage") or [])
            found.setdefault("labels_error", []).append([None if a is None else 1 - a for a in accuracies])
    for title, tables in found.items():
        count = max(map(len, tables))
        classes = names.distinct((info.class_name(k) for k in range(count)), names.metric)
        for k in range(count):
            values_of = [table[k] for table in tables if k < len(table)]
            if known := [value for value in values_of if value is not None and math.isfinite(value)]:
                yield Point(f"per_class/{title}.{classes[info.class_name(k)]}", statistics.fmean(known), rung, when)


def _seed(plans: Mapping[int, Plan], seed: int) -> str:
    return f".seed{seed}" if len(plans) > 1 else ""
