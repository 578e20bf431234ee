"""From stored stages to metrics over one continuous axis: no MLflow here, and no torch."""

import math
import re
import statistics
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple, get_args

import pandas as pd

from dmt_ray.config import SelectionRule
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.plan import Plan, Stage
from dmt_ray.plan.files import EXAMPLES, SCORES
from dmt_ray.results.scores import (
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
    """One value of a metric. `when`, in milliseconds since 1970, comes from the store: replaying gives the same."""

    name: str
    value: float
    step: int
    when: int


class Unit(NamedTuple):
    """What is published at once: the work that a rung adds for one model of one seed.

    Attributes:
        name: "<rung>.<side>", and ".seed<seed>" where there are several seeds.
    """

    name: str
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


def points(store: Store, plans: Mapping[int, Plan], unit: Unit, dataset_info: DatasetInfo) -> list[Point]:
    """The metrics of a unit. Steps count optimizer steps over all stages of the model, or rungs.

    Raises:
        StoreError, MissingStages: If a stage of the unit is not in the store, or damaged.
    """
    suffix = _seed(plans, unit.seed)
    before = _trained_before(store, plans[unit.seed], unit.rung)
    found: list[Point] = []
    offset = 0
    for stage in _trained(store, unit.evaluation):
        if stage not in before:
            found += _training(store, stage, unit, offset, suffix, dataset_info)
        offset += steps(store, stage)
    found += _scores(store, unit, suffix, dataset_info)
    return [point for point in found if math.isfinite(point.value)]


def rung_points(store: Store, plans: Mapping[int, Plan], rung: int) -> list[Point]:
    """The scores of a rung, mean over seeds and models."""
    when = max(ended(store, evaluation) for plan in plans.values() for evaluation in plan.rungs[rung].values())
    name = measure(store, next(iter(next(iter(plans.values())).rungs[rung].values())))
    return [
        Point(f"{name}_selection", _mean(store, plans, rung, "selection"), rung, when),
        Point(f"{name}_reported", _mean(store, plans, rung, "reported"), rung, when),
    ]


def finals(store: Store, plans: Mapping[int, Plan]) -> dict[str, float]:
    """What a complete trial comes to, under the three selection rules (all in [0, 1], mean over seeds).

    score: on the validation images after the last rung, what a search maximises. reported_last, reported_val,
    reported_paper: on the test images, see `records.selected`, which chooses for each seed by itself. best_rung:
    the rung that "val" chooses, mean over seeds.
    """
    chosen = [selected(store, plan) for plan in plans.values()]
    reported = {
        f"reported_{rule}": statistics.fmean(one[rule].reported for one in chosen) for rule in get_args(SelectionRule)
    }
    return {
        "score": statistics.fmean(one["last"].selection for one in chosen),
        "best_rung": statistics.fmean(one["val"].rung for one in chosen),
        **reported,
    }


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


def ended(store: Store, stage: Stage) -> int:
    """When a stage was finished, in milliseconds since 1970."""
    return round(1000 * datetime.fromisoformat(store.record(stage).made["when"]).timestamp())


def took(store: Store, stage: Stage) -> float:
    """How long a stage took, in seconds; 0 where nobody wrote it down."""
    return float(store.record(stage).made.get("seconds", 0.0))


def _trained(store: Store, evaluation: Stage) -> list[Stage]:
    """The trainings behind an evaluated model, first one first.

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
    return {stage for models in plan.rungs[:rung] for one in models.values() for stage in _trained(store, one)}


def _training(
    store: Store, stage: Stage, unit: Unit, offset: int, suffix: str, dataset_info: DatasetInfo
) -> list[Point]:
    end, seconds, total = ended(store, stage), took(store, stage), steps(store, stage)
    tables = [history(store, stage, unit.evaluation.side)]
    snapshots = store.open(stage) / SCORES
    if snapshots.exists():
        renamed = {"selection_miou": "snapshot_selection", "reported_miou": "snapshot_reported"}
        tables.append(pd.read_csv(snapshots).rename(columns=renamed))
    found = []
    for table in tables:
        for row in table.to_dict("records"):
            step = int(row["step"])
            when = end - round(1000 * seconds * (1 - step / total))
            found += [
                Point(f"{unit.side}/{column}{suffix}", float(value), offset + step, when)
                for column, value in row.items()
                if column not in NO_METRIC
            ]
    labels = stage.inputs.get("labels")
    if labels is not None:
        found += _labels(
            summary(store, labels), f"{unit.side}/labels", unit.rung, ended(store, labels), suffix, dataset_info
        )
    return found


def _labels(
    said: Mapping[str, Any], start: str, rung: int, when: int, suffix: str, dataset_info: DatasetInfo
) -> list[Point]:
    found = [Point(f"{start}_kept{suffix}", float(said["kept"]), rung, when)]
    if said.get("accuracy") is not None:
        found.append(Point(f"{start}_accuracy{suffix}", float(said["accuracy"]), rung, when))
    for title, values in (("coverage", said["coverage"]), ("accuracy", said.get("class_accuracy"))):
        found += _per_class(f"{start}_{title}", values or [], rung, when, suffix, dataset_info)
    return found


def _scores(store: Store, unit: Unit, suffix: str, dataset_info: DatasetInfo) -> list[Point]:
    when = ended(store, unit.evaluation)
    found = []
    for which, said in metrics(store, unit.evaluation).items():
        for name, value in scores(said).items():
            found.append(Point(f"{unit.side}/{name}_{which}{suffix}", value, unit.rung, when))
        title, values = class_scores(said)
        found += _per_class(f"{unit.side}/{title}_{which}", values, unit.rung, when, suffix, dataset_info)
    return found


def _per_class(
    start: str, values: list[float | None], rung: int, when: int, suffix: str, dataset_info: DatasetInfo
) -> list[Point]:
    return [
        # MLflow allows few characters in a name, and groups by the slash.
        Point(
            f"{start}/{re.sub(r'[^A-Za-z0-9_. -]', '_', dataset_info.class_name(k))}{suffix}", float(value), rung, when
        )
        for k, value in enumerate(values)
        if value is not None
    ]


def _mean(store: Store, plans: Mapping[int, Plan], rung: int, which: Any) -> float:
    return statistics.fmean(rung_score(store, plan.rungs[rung], which) for plan in plans.values())


def _seed(plans: Mapping[int, Plan], seed: int) -> str:
    return f".seed{seed}" if len(plans) > 1 else ""
