"""The tidy table: everything the store holds of an ablation or a sweep, one number per line, for pandas.

Columns: experiment, question, recipe, data; row, column, method; seed, split, split_digest, fingerprint (of the data),
config (8 hex digits of the settings), key (of the evaluation, "" for a mean); state ("there", "missing", "failed", of a
trial also "pruned") and error; model ("A", "B", "mean"); rung; rule; images ("selection": the validation images,
"reported": the test images); metric; value (a fraction); snapshots; models, steps and device_seconds (of the whole
plan).

metric: "miou", "pixel_accuracy" and "iou/<class>"; in classification "accuracy", "fine_grained" and
"class_accuracy/<class>". The first is the `headline`. Beside the score of averaged weights stands "last_weights_...".
What else there is says `dmt_ray.results.quality`; its "nll" is no fraction.
"agreement", of the images "unlabelled": the mIoU between the labels of two teachers, mean over the images (RWMS).

rule: "each": every model at every rung, as it is. "last", "val", "paper": what `dmt_ray.results.scores.selected` picks.
"ensemble": the models of the last rung together (model: "ensemble"), by the mean of their class probabilities.
A run that is not complete has a single line with rule "last", with the state and no value; a trial also has the models
that were scored before it ended, with rule "each".

In a sweep a trial is a row, named by its settings; there are no columns. Of a sweep there are also ``trial`` (its
number), ``score`` (what the search maximised, a fraction; none where it has not come to the end) and, for everything
that is searched, ``param/<setting>``.

``frame.attrs["about"]`` holds what the records say of themselves: title, reference row, seeds, classes, commands, git
commit, versions; several tables one below the other have ``attrs["abouts"]``, by experiment.
"""

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dmt_ray.config import Config
from dmt_ray.errors import ConfigError
from dmt_ray.experiments import experiment_file, locate, reproduce
from dmt_ray.experiments.ablation import Ablation, Cell, Member
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.experiments.experiment_file import ExperimentFile
from dmt_ray.experiments.sweep import Sweep, Trial, in_words
from dmt_ray.experiments.trials import read_trials
from dmt_ray.plan import Plan, Stage
from dmt_ray.plan.files import AGREEMENT
from dmt_ray.plan.key import key_of
from dmt_ray.plan.measures import MEASURES, Measure, measure_of
from dmt_ray.plan.words import counted
from dmt_ray.recipes.published import as_published
from dmt_ray.results.auditing import of_cells
from dmt_ray.results.quality import means_over, quality
from dmt_ray.results.scores import class_scores, metrics, scores, selected, summary
from dmt_ray.store import Store

COLUMNS = (
    *("experiment", "question", "recipe", "data", "row", "column", "method"),
    *("seed", "split", "split_digest", "fingerprint", "config", "key", "state", "error"),
    *("model", "rung", "rule", "images", "metric", "value", "snapshots", "models", "steps", "device_seconds"),
)
INTEGERS = ("rung", "snapshots", "models", "steps", "trial")  # columns with gaps
STATES = {"complete": "there", "pruned": "pruned", "failed": "failed", "running": "missing"}
NONE: Mapping[str, Any] = {}
Line = dict[str, Any]


# ---- whole tables ----------------------------------------------------------------------------------------------


def of_folder(folder: Path, store: Store | None = None) -> pd.DataFrame:
    """The tidy table of an ablation or a sweep.

    Args:
        folder: Its folder, as `<storage>/ablations/<name>` or `<storage>/sweeps/<name>`.
        store: Where its stages are; None: the store two folders up.

    Raises:
        StoreError: If the folder holds neither, or there is no store.
    """
    return of_ablation(folder, store) if locate.is_ablation(folder) else of_sweep(folder, store)


def of_all(storage: Path, name: str | None = None) -> pd.DataFrame:
    """The tidy table of one ablation or sweep, or of all in a storage folder, concatenated.

    Args:
        storage: Folder of the results.
        name: Its name, or the beginning of it; None: all.

    Raises:
        ConfigError: If the folder holds no ablation and no sweep.
        MissingStages: If there is none of that name.
        StoreError: If there is no store.
    """
    folders = [locate.locate(storage, name)] if name is not None else locate.all_folders(storage)
    if not folders:
        raise ConfigError(f"there are no sweeps or ablations in {storage}. Pass the results' folder as --storage.")
    store = Store(folders[0].parents[1])
    return together([of_folder(folder, store) for folder in folders])


def together(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Concatenated tidy tables, without empty ones.

    Returns:
        All lines; ``attrs["abouts"]`` maps each experiment to its ``attrs["about"]``, which a single one keeps, too.
    """
    abouts = {str(frame["experiment"].iloc[0]): frame.attrs["about"] for frame in frames if len(frame)}
    # Lists and not pd.concat: a table in which a column is empty must not decide what the others hold there.
    lines = [line for frame in frames for line in frame.to_dict("records")]
    columns = dict.fromkeys([*COLUMNS, *(name for frame in frames for name in frame.columns)])
    joined = pd.DataFrame(lines, columns=list(columns))
    for name in joined.columns:
        if name.startswith("param/") and not pd.api.types.is_numeric_dtype(joined[name]):
            known = joined[name].notna()
            joined[name] = joined[name].map(str).where(known, None)  # a method beside a number
        elif name in INTEGERS:
            joined[name] = joined[name].astype("Int64")
    joined.attrs["abouts"] = abouts
    if len(abouts) == 1:
        joined.attrs["about"] = next(iter(abouts.values()))
    return joined


def headline(frame: pd.DataFrame) -> Measure:
    """The measure of the models in a tidy table.

    Raises:
        ValueError: If some are measured by something else than others, which no table or figure can show together.
    """
    measures = [measure for measure in MEASURES if (frame["metric"] == measure).any()]
    if len(measures) > 1:
        raise ValueError("the records are of segmentation and of classification, which do not belong in one table")
    return measures[0] if measures else "miou"


def by_metric(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The same lines with a metric in the place of the headline, for figures that show the headline."""
    measure = headline(frame)
    if metric == measure:
        return frame
    lines = frame[(frame["metric"] != measure) | (frame["state"] != "there")]
    changed = lines.assign(metric=lines["metric"].replace(metric, measure))
    changed.attrs = frame.attrs
    return changed


def scored(
    frame: pd.DataFrame, *, rule: str | None = "last", images: str = "reported", column: str | None = None
) -> pd.DataFrame:
    """The lines of a tidy table that have a value of its headline metric.

    Args:
        frame: The tidy table.
        rule: Which selection rule's, or "each"; None: all.
        images: "selection" or "reported".
        column: A column of the ablation; None: all.
    """
    chosen = (frame["metric"] == headline(frame)) & (frame["images"] == images) & frame["value"].notna()
    for name, value in (("rule", rule), ("column", column)):
        if value is not None:
            chosen &= frame[name] == value
    return frame[chosen]


# ---- an ablation -----------------------------------------------------------------------------------------------


def of_ablation(folder: Path, store: Store | None = None) -> pd.DataFrame:
    """The tidy table of an ablation; arguments and errors as of `of_folder`."""
    file, failed = experiment_file.read(folder), experiment_file.read_failed(folder)
    store = store or Store(folder.parents[1])
    frame = tabulate_ablation(store, file, failed, experiment_file.content_of(folder))
    frame.attrs["about"]["audit"] = of_cells(folder, store, list(file.ablation.members()))
    return frame


def tabulate_ablation(
    store: Store, file: ExperimentFile, failed: Mapping[str, str] = NONE, provenance: Mapping[str, Any] = NONE
) -> pd.DataFrame:
    """The tidy table of an ablation; `failed`: name of a stage -> why; `provenance`: {"git": ..., "versions": ...}."""
    ablation = file.ablation
    infos = {(cell.row, cell.column): _dataset_info(file, cell) for cell in ablation.cells}
    order = {cell: place for place, cell in enumerate(infos)}
    members = sorted(ablation.members(), key=lambda member: order[member.cell.row, member.cell.column])
    lines = [line for one in members for line in _of_member(store, file, one, failed)]
    frame = pd.DataFrame(lines, columns=list(COLUMNS))
    trainings = [training for cell in ablation.cells for training in cell.config.trainings().values()]
    frame.attrs["about"] = {
        "title": ablation.title,
        "reference": ablation.reference,
        "paper": ablation.paper,
        "paper_columns": {
            cell.column: cell.paper if as_published(cell.config) else None
            for cell in ablation.cells
            if cell.row == ablation.reference
        },
        "recipe": ablation.recipe,
        "seeds": list(ablation.seeds),
        "looks": list(ablation.looks),
        "classes": {column: list(info.classes) for (_, column), info in infos.items()},
        "command": file.command,
        "commands": [[cell.row, cell.column, command(file, cell)] for cell in ablation.cells],
        "protocol": [_protocol(cell) for cell in ablation.cells if cell.row == ablation.reference],
        **{name: provenance.get(name, {}) for name in ("git", "versions")},
        "selects": sorted({training.keep for training in trainings}),
    }
    return frame


def _of_member(store: Store, file: ExperimentFile, member: Member, failed: Mapping[str, str]) -> Iterator[Line]:
    """The lines of a cell and a seed."""
    cell, seed, plan = member
    info, names = (
        _dataset_info(file, cell),
        {name: getattr(cell, name) for name in ("recipe", "row", "column", "method")},
    )
    line = _begin(file.ablation, cell.config, seed, plan, info) | names
    missing = store.missing(plan.targets())
    if missing:
        error = next((failed[stage.name] for stage in missing if stage.name in failed), None)
        yield _without_value(plan, cell.config, line, "missing" if error is None else "failed", error or "")
    else:
        yield from _of_plan(store, plan, line, info)


def _protocol(cell: Cell) -> str:
    """The protocol of a column, for comparison with a paper's."""
    config, model, labelled = cell.config, cell.config.model, cell.config.split.labelled
    size = "" if config.data.size is None else f" at {config.data.size[0]} x {config.data.size[1]}"
    share = counted(labelled, "labelled image") if isinstance(labelled, int) else f"1/{1 / labelled:.4g} labelled"
    pretrained = f"{model.encoder_weights} weights" if model.encoder_weights else "random weights"
    start = "weights from a file" if model.weights_file else pretrained
    settings = (
        f"{config.data.name}{size}, {share}",
        f"{model.architecture}{'' if model.encoder == 'none' else f' on {model.encoder}'} from {start}",
        f"crops of {' x '.join(map(str, config.finetune.augment.crop))}",
        ", ".join(f"{name} {value:g}" for name, value in config.weight.identity().items() if isinstance(value, float)),
        counted(len(config.percentiles), "iteration"),
        f"DMS share {config.dms_alpha:g}" if config.data.task == "segmentation" else "",
    )
    return f"{cell.column}: {'; '.join(filter(None, settings))}."


def _dataset_info(file: ExperimentFile, cell: Cell) -> DatasetInfo:
    values = file.dataset_info_of(cell)
    return DatasetInfo() if values is None else DatasetInfo.from_json(values)


def command(file: ExperimentFile, cell: Cell) -> str:
    """What computes a row: the ablation's own command, for this row alone; with looks for all, on whose number the
    error of a look depends.
    """
    if file.ablation.looks:
        return shlex.join(word for word in shlex.split(file.command) if word != "--dry-run")
    words, skip = list[str](), False
    for word in shlex.split(file.command):
        skip = word == "--rows" or (skip and not word.startswith("--"))
        if not skip and word != "--dry-run":
            words.append(word)
    return shlex.join([*words, "--rows", cell.row])


# ---- a sweep ---------------------------------------------------------------------------------------------------


def of_sweep(folder: Path, store: Store | None = None) -> pd.DataFrame:
    """The tidy table of a sweep; arguments and errors as of `of_folder`. Trials without settings are left out."""
    file, provenance, store = (
        experiment_file.read(folder),
        experiment_file.content_of(folder),
        store or Store(folder.parents[1]),
    )
    sweep, info = file.sweep, DatasetInfo.from_json(file.dataset_info)
    trials = [trial for trial in read_trials(folder, sweep.name) if trial.params.keys() == sweep.space.keys()]
    rows = rows_of(trials)
    lines = [line for trial in trials for line in _of_trial(store, sweep, trial, rows[trial.number], info)]
    frame = pd.DataFrame(lines, columns=[*COLUMNS, "trial", "score", *(f"param/{name}" for name in sweep.space)])
    frame.attrs["about"] = {
        "title": sweep.title,
        "reference": None,
        "paper": None,
        "recipe": sweep.config.recipe,
        "seeds": list(sweep.seeds),
        "classes": {"": list(info.classes)},
        "command": info.command,
        "commands": [[rows[trial.number], "", reproduce.of_trial(file, trial)] for trial in trials],
        **{name: provenance.get(name, {}) for name in ("git", "versions")},
        "space": {setting: str(values) for setting, values in sweep.space.items()},
    }
    return frame


def rows_of(trials: Sequence[Trial]) -> dict[int, str]:
    """Trial number -> its settings in words, with the number if another trial has the same settings."""
    words = {trial.number: in_words(trial.params) for trial in trials}
    often = Counter(words.values())
    return {number: text if often[text] == 1 else f"{text} (trial {number})" for number, text in words.items()}


def _of_trial(store: Store, sweep: Sweep, trial: Trial, row: str, info: DatasetInfo) -> Iterator[Line]:
    config, complete = sweep.config_of(trial.params), trial.state == "complete"
    for seed, plan in sweep.plans(trial.params).items():
        line = _begin(sweep, config, seed, plan, info) | {
            "recipe": sweep.config.recipe,
            "row": row,
            "column": "",
            "method": sweep.method_of(trial.params),
            "trial": trial.number,
            "score": trial.score if complete else None,
            **{f"param/{setting}": value for setting, value in trial.params.items()},
        }
        if complete and not store.missing(plan.targets()):
            yield from _of_plan(store, plan, line, info)
        else:
            state = "missing" if complete else STATES[trial.state]
            error = (trial.error or "") if state == "failed" else ""
            yield from (one | {"state": state, "error": error} for one in _of_models(store, plan, line, info))
            yield _without_value(plan, config, line, state, error)


# ---- a plan ----------------------------------------------------------------------------------------------------


def _begin(experiment: Ablation | Sweep, config: Config, seed: int, plan: Plan, info: DatasetInfo) -> Line:
    """What the lines of a run have in common, in any kind of experiment."""
    split, digest = info.splits.get(seed, ("", ""))
    return {
        "experiment": experiment.name,
        "question": experiment.question,
        "data": config.data.name,
        "seed": seed,
        "split": split,
        "split_digest": digest,
        "fingerprint": config.data.fingerprint,
        "config": key_of(config.identity())[:8],
        "state": "there",
        "error": "",
        "key": "",
        "models": models_of(plan),
    }


def _of_plan(store: Store, plan: Plan, line: Line, info: DatasetInfo) -> Iterator[Line]:
    """The lines of a complete plan: every model at every rung, and what the three rules select."""
    line = line | _cost(store, plan)
    yield from _of_models(store, plan, line, info)
    for assessed in plan.stages():
        if AGREEMENT in assessed.config.writes:
            one = {"key": assessed.key, "model": assessed.side, "rung": 0, "rule": "each", "snapshots": 1}
            value = float(summary(store, assessed)["agreement"])
            yield line | one | {"images": "unlabelled", "metric": "agreement", "value": value}
    for rule, chosen in selected(store, plan).items():
        values: dict[tuple[str, str], list[float]] = {}
        for side in chosen.models:
            for images, metric, value in _scores(store, plan.rungs[chosen.rung][side], info):
                values.setdefault((images, metric), []).append(value)
        [model] = chosen.models if len(chosen.models) == 1 else ["mean"]
        key = "" if model == "mean" else plan.rungs[chosen.rung][model].key
        one = {"key": key, "model": model, "rung": chosen.rung, "rule": rule, "snapshots": chosen.snapshots}
        for (images, metric), group in values.items():
            yield line | one | {"images": images, "metric": metric, "value": sum(group) / len(group)}
    if plan.ensemble is not None and store.has(plan.ensemble):
        one = {"key": plan.ensemble.key, "model": "ensemble", "rung": len(plan.rungs) - 1, "rule": "ensemble"}
        for images, metric, value in _scores(store, plan.ensemble, info):
            yield line | one | {"snapshots": 1, "images": images, "metric": metric, "value": value}


def _of_models(store: Store, plan: Plan, line: Line, info: DatasetInfo) -> Iterator[Line]:
    """The lines of every model that is evaluated, rung by rung."""
    for rung, models in enumerate(plan.rungs):
        for side, evaluation in models.items():
            if store.has(evaluation):
                one = line | {"key": evaluation.key, "model": side, "rung": rung, "rule": "each", "snapshots": 1}
                for images, metric, value in _scores(store, evaluation, info):
                    yield one | {"images": images, "metric": metric, "value": value}


def _without_value(plan: Plan, config: Config, line: Line, state: str, error: str) -> Line:
    """The one line of an incomplete run."""
    last = {"model": "mean", "rung": len(plan.rungs) - 1, "rule": "last", "images": "reported"}
    return line | last | {"state": state, "error": error, "metric": measure_of(config.data)}


def _scores(store: Store, evaluation: Stage, info: DatasetInfo) -> Iterator[tuple[str, str, float]]:
    """(images, metric, value) of everything in an evaluation; a class that does not occur has no value."""
    means = means_over(evaluation, info.classes)
    for images, values in metrics(store, evaluation).items():
        yield from ((images, metric, value) for metric, value in scores(values).items())
        yield from ((images, metric, value) for metric, value in quality(values, means).items())
        title, by_class = class_scores(values)
        for number, of_class in enumerate(by_class):
            if of_class is not None:
                yield images, f"{title}/{info.class_name(number)}", float(of_class)


def models_of(plan: Plan) -> int:
    """How many models a plan trains, including those that only label for others."""
    return sum(stage.config.new_model() is not None for stage in plan.stages())


def _cost(store: Store, plan: Plan) -> Line:
    """What a plan has cost: optimizer steps of all its models, and device seconds of all its workers."""
    made = {stage: store.record(stage).made for stage in plan.stages()}
    return {
        "steps": sum(int(work["steps"]) for stage, work in made.items() if stage.config.trains),
        "device_seconds": sum(float(work.get("seconds", 0)) * int(work.get("workers", 1)) for work in made.values()),
    }
