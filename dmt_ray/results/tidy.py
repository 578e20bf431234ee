"""The tidy table: what the store holds of an ablation or a sweep, one row a number, for pandas.

Columns: experiment, question, recipe, data; row, column, method; seed, split, split_digest, fingerprint (of the data),
config (8 hex digits of the settings), key (of the evaluation, "" for a mean); state ("there", "missing", "failed") and
error; model ("A", "B", "mean"); rung; rule; images ("selection", "reported"); metric; value (a fraction); snapshots;
models, steps and device_seconds (of the whole plan).

metric: "miou", "pixel_accuracy" and "iou/<class>"; in classification "accuracy", "fine_grained" and
"class_accuracy/<class>". The first is the `headline`. Beside the score of averaged weights stands "last_weights_...".
"agreement", of the images "unlabelled": the mIoU between the labels of two teachers, mean over the images (RWMS).

rule: "each": every model at every rung, as it is. "last", "val", "paper": what `dmt_ray.results.scores.selected` picks.
A number that is not there has a single row, with the state, no value, and rule "last".
"""

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from dmt_ray.experiments import ablation_file
from dmt_ray.experiments.ablation import Ablation, Cell, Wanted
from dmt_ray.experiments.ablation_file import AblationFile
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.plan import Plan, Stage
from dmt_ray.plan.files import AGREEMENT
from dmt_ray.plan.key import key_of
from dmt_ray.plan.measures import MEASURES, Measure, measure_of
from dmt_ray.results.scores import Selected, class_scores, metrics, selected, summary
from dmt_ray.results.scores import scores as of_images
from dmt_ray.store import Store

RULES = ("last", "val", "paper")
COLUMNS = (
    *("experiment", "question", "recipe", "data", "row", "column", "method"),
    *("seed", "split", "split_digest", "fingerprint", "config", "key", "state", "error"),
    *("model", "rung", "rule", "images", "metric", "value", "snapshots", "models", "steps", "device_seconds"),
)


def of_ablation(folder: Path, store: Store | None = None) -> pd.DataFrame:
    """The tidy table of an ablation.

    Args:
        folder: The ablation's folder, as `<storage>/ablations/<name>`.
        store: Where its stages are; None: the store two folders up.

    Raises:
        StoreError: If the folder holds no ablation, or there is no store.
    """
    file = ablation_file.read(folder)
    return tabulate(store or Store(folder.parents[1]), file, ablation_file.read_failed(folder), _made(folder))


def _made(folder: Path) -> Mapping[str, Any]:
    content: Mapping[str, Any] = json.loads((folder / ablation_file.NAME).read_text(encoding="utf-8"))
    return content


def tabulate(
    store: Store, file: AblationFile, failed: Mapping[str, str] | None = None, made: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """The tidy table of an ablation; see the module.

    Args:
        store: Where its stages are.
        file: What its ablation.json says.
        failed: Name of a stage -> why it failed.
        made: {"git": ..., "versions": ...} of the start that wrote the file; None: unknown.
    """
    ablation = file.ablation
    abouts = {(cell.row, cell.column): _dataset_info(file, cell) for cell in ablation.cells}
    lines = [
        line
        for wanted in ablation.wanted()
        for line in _of_cell(store, ablation, wanted, abouts[wanted.cell.row, wanted.cell.column], failed or {})
    ]
    frame = pd.DataFrame(lines, columns=list(COLUMNS))
    order = {(cell.row, cell.column): place for place, cell in enumerate(ablation.cells)}
    places = [order[row, column] for row, column in zip(frame["row"], frame["column"], strict=True)]
    frame = frame.assign(place=places).sort_values("place", kind="stable").drop(columns="place").reset_index(drop=True)
    frame.attrs["about"] = {
        "title": ablation.title,
        "reference": ablation.reference,
        "paper": ablation.paper,
        "paper_columns": {cell.column: cell.paper for cell in ablation.cells},
        "recipe": ablation.recipe,
        "seeds": list(ablation.seeds),
        "classes": {column: list(dataset_info.classes) for (_, column), dataset_info in abouts.items()},
        "command": file.command,
        "commands": [[cell.row, cell.column, command(file, cell)] for cell in ablation.cells],
        "protocol": [_protocol(cell) for cell in ablation.cells if cell.row == ablation.reference],
        "git": (made or {}).get("git", {}),
        "versions": (made or {}).get("versions", {}),
        "selects": sorted({training.keep for cell in ablation.cells for training in _trainings(cell)}),
    }
    return frame


def _protocol(cell: Cell) -> str:
    """What a column is about, to be held against a paper's protocol."""
    config = cell.config
    size = "" if config.data.size is None else f" at {config.data.size[0]} x {config.data.size[1]}"
    labelled = config.split.labelled
    share = f"{labelled} labelled images" if isinstance(labelled, int) else f"1/{1 / labelled:.4g} labelled"
    model = config.model
    pretrained = f"{model.encoder_weights} weights" if model.encoder_weights else "random weights"
    start = "weights from a file" if model.weights_file else pretrained
    numbers = [f"{name} {value:g}" for name, value in config.weight.identity().items() if isinstance(value, float)]
    settings = (
        f"{config.data.name}{size}, {share}",
        f"{model.architecture}{'' if model.encoder == 'none' else f' on {model.encoder}'} from {start}",
        f"crops of {' x '.join(map(str, config.finetune.augment.crop))}",
        *([", ".join(numbers)] if numbers else []),
        f"{len(config.percentiles)} iterations",
        *([f"DMS share {config.dms_alpha:g}"] if config.data.task == "segmentation" else []),
    )
    return f"{cell.column}: {'; '.join(settings)}."


def _dataset_info(file: AblationFile, cell: Cell) -> DatasetInfo:
    said = file.dataset_info_of(cell)
    return DatasetInfo() if said is None else DatasetInfo.from_json(said)


def command(file: AblationFile, cell: Cell) -> str:
    """What computes a row: the ablation's own command, for this row alone."""
    kept: list[str] = []
    skip = False
    for word in shlex.split(file.command):
        skip = word == "--rows" or (skip and not word.startswith("--"))
        if not skip and word != "--dry-run":
            kept.append(word)
    return shlex.join([*kept, "--rows", cell.row])


def _trainings(cell: Cell) -> tuple[Any, ...]:
    return tuple(cell.config.trainings().values())


def _of_cell(
    store: Store, ablation: Ablation, wanted: Wanted, dataset_info: DatasetInfo, failed: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    cell, plan = wanted.cell, wanted.plan
    split, digest = dataset_info.splits.get(wanted.seed, ("", ""))
    line = {
        "experiment": ablation.name,
        "question": ablation.question,
        "recipe": cell.recipe,
        "data": cell.config.data.name,
        "row": cell.row,
        "column": cell.column,
        "method": cell.method,
        "seed": wanted.seed,
        "split": split,
        "split_digest": digest,
        "fingerprint": cell.config.data.fingerprint,
        "config": key_of(cell.config.identity())[:8],
        "state": "there",
        "error": "",
        "key": "",
        "models": models_of(plan),
    }
    missing = store.missing(stage for rung in plan.rungs for stage in rung.values())
    if missing:
        why = next((failed[stage.name] for stage in missing if stage.name in failed), None)
        yield line | {
            "state": "missing" if why is None else "failed",
            "error": why or "",
            "model": "mean",
            "rung": len(plan.rungs) - 1,
            "rule": "last",
            "images": "reported",
            "metric": measure_of(cell.config.data),
        }
        return
    yield from of_plan(store, plan, line, dataset_info)


def of_plan(store: Store, plan: Plan, line: dict[str, Any], dataset_info: DatasetInfo) -> Iterator[dict[str, Any]]:
    """The lines of a plan that is complete: every model at every rung, and what the three rules select.

    Args:
        store: Where its stages are.
        plan: The plan.
        line: What all of them have in common.
        about: Names of the classes.
    """
    line = line | cost(store, plan)
    for rung, models in enumerate(plan.rungs):
        for side, evaluation in models.items():
            for images, metric, value in scores(store, evaluation, dataset_info):
                yield line | {
                    "key": evaluation.key,
                    "model": side,
                    "rung": rung,
                    "rule": "each",
                    "images": images,
                    "metric": metric,
                    "value": value,
                    "snapshots": 1,
                }
    for assessed in plan.stages():
        if AGREEMENT in assessed.config.writes:
            yield line | {
                "key": assessed.key,
                "model": assessed.side,
                "rung": 0,
                "rule": "each",
                "images": "unlabelled",
                "metric": "agreement",
                "value": float(summary(store, assessed)["agreement"]),
                "snapshots": 1,
            }
    for rule, chosen in selected(store, plan).items():
        yield from _of_rule(store, plan, line | {"rule": rule}, chosen, dataset_info)


def _of_rule(
    store: Store, plan: Plan, line: dict[str, Any], chosen: Selected, dataset_info: DatasetInfo
) -> Iterator[dict[str, Any]]:
    found: dict[tuple[str, str], list[float]] = {}
    for side in chosen.models:
        for images, metric, value in scores(store, plan.rungs[chosen.rung][side], dataset_info):
            found.setdefault((images, metric), []).append(value)
    model = chosen.models[0] if len(chosen.models) == 1 else "mean"
    for (images, metric), values in found.items():
        yield line | {
            "key": plan.rungs[chosen.rung][model].key if model != "mean" else "",
            "model": model,
            "rung": chosen.rung,
            "images": images,
            "metric": metric,
            "value": sum(values) / len(values),
            "snapshots": chosen.snapshots,
        }


def scores(store: Store, evaluation: Stage, dataset_info: DatasetInfo) -> Iterator[tuple[str, str, float]]:
    """(images, metric, value) of everything that an evaluation says; a class that does not occur has no value."""
    for images, said in metrics(store, evaluation).items():
        for metric, value in of_images(said).items():
            yield images, metric, value
        title, values = class_scores(said)
        for number, of_class in enumerate(values):
            if of_class is not None:
                yield images, f"{title}/{dataset_info.class_name(number)}", float(of_class)


def headline(frame: pd.DataFrame) -> Measure:
    """What the models of a tidy table are measured by.

    Raises:
        ValueError: If some are measured by something else than others, which no table or figure can show together.
    """
    found = [measure for measure in MEASURES if (frame["metric"] == measure).any()]
    if len(found) > 1:
        raise ValueError("the records are of segmentation and of classification, which do not belong in one table")
    return found[0] if found else "miou"


def models_of(plan: Plan) -> int:
    """How many models a plan trains, those included that only label for others."""
    return sum(stage.config.new_model() is not None for stage in plan.stages())


def cost(store: Store, plan: Plan) -> dict[str, Any]:
    """What a plan has cost: optimizer steps of all its models together, and the seconds of all who worked on it."""
    made = {stage: store.record(stage).made for stage in plan.stages()}
    return {
        "steps": sum(int(said["steps"]) for stage, said in made.items() if stage.config.trains),
        "device_seconds": sum(float(said.get("seconds", 0)) * int(said.get("workers", 1)) for said in made.values()),
    }
