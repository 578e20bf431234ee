"""The tidy table of a sweep: the columns of `dmt_ray.results.tidy`, and those of its trials.

A trial is a row, named by its settings; there are no columns. Beside the columns of `records` stand `trial` (its
number), `score` (what the search maximised, a fraction; none where it has not come to the end) and, for everything that
is searched, `param/<setting>`. The state of a trial that is not complete is "pruned", "failed" or "missing" (it runs,
or was interrupted): of it there are the models that were scored, with rule "each", and one line without a value.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from dmt_ray.experiments import sweep_file
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.experiments.sweep import Trial, in_words
from dmt_ray.experiments.sweep_file import SweepFile
from dmt_ray.plan import Plan
from dmt_ray.plan.key import key_of
from dmt_ray.plan.measures import Measure
from dmt_ray.results import tidy
from dmt_ray.search.study import read_trials
from dmt_ray.store import Store

STATES = {"complete": "there", "pruned": "pruned", "failed": "failed", "running": "missing"}


def of_sweep(folder: Path, store: Store | None = None) -> pd.DataFrame:
    """The tidy table of a sweep.

    Args:
        folder: The sweep's folder, as `<storage>/sweeps/<name>`.
        store: Where its stages are; None: the store two folders up.

    Returns:
        The table; ``attrs["dataset_info"]`` as in `records`, without a reference row.

    Raises:
        StoreError: If the folder holds no sweep, or there is no store.
    """
    file = sweep_file.read(folder)
    made = json.loads((folder / sweep_file.NAME).read_text(encoding="utf-8"))
    trials = read_trials(folder, file.sweep.name) if (folder / "study.db").exists() else []
    trials = [trial for trial in trials if trial.params.keys() == file.sweep.space.keys()]
    return tabulate(store or Store(folder.parents[1]), file, trials, made)


def tabulate(store: Store, file: SweepFile, trials: list[Trial], made: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """The tidy table of a sweep; see the module.

    Args:
        store: Where its stages are.
        file: What its sweep.json says.
        trials: The trials whose settings are known.
        made: {"git": ..., "versions": ...} of the start that wrote the file; None: unknown.
    """
    sweep, dataset_info, rows = file.sweep, DatasetInfo.from_json(file.dataset_info), rows_of(trials)
    params = [f"param/{setting}" for setting in sweep.space]
    lines = [line for trial in trials for line in _of_trial(store, file, trial, rows[trial.number], dataset_info)]
    frame = pd.DataFrame(lines, columns=[*tidy.COLUMNS, "trial", "score", *params])
    frame.attrs["about"] = {
        "title": sweep.title,
        "reference": None,
        "paper": None,
        "recipe": sweep.config.recipe,
        "seeds": list(sweep.seeds),
        "classes": {"": list(dataset_info.classes)},
        "command": dataset_info.command,
        "commands": [[rows[trial.number], "", file.replay.command(sweep, trial)] for trial in trials],
        "git": (made or {}).get("git", {}),
        "versions": (made or {}).get("versions", {}),
        "space": {setting: str(values) for setting, values in sweep.space.items()},
    }
    return frame


def rows_of(trials: list[Trial]) -> dict[int, str]:
    """Trial number -> its settings in words, and its number where another trial has the same ones."""
    words = {trial.number: in_words(trial.params) for trial in trials}
    often = Counter(words.values())
    return {number: text if often[text] == 1 else f"{text} (trial {number})" for number, text in words.items()}


def _of_trial(
    store: Store, file: SweepFile, trial: Trial, row: str, dataset_info: DatasetInfo
) -> Iterator[dict[str, Any]]:
    sweep, config = file.sweep, file.sweep.config_of(trial.params)
    for seed, plan in sweep.plans(trial.params).items():
        split, digest = dataset_info.splits.get(seed, ("", ""))
        line = {
            "experiment": sweep.name,
            "question": sweep.question,
            "recipe": sweep.config.recipe,
            "data": config.data.name,
            "row": row,
            "column": "",
            "method": sweep.method_of(trial.params),
            "seed": seed,
            "split": split,
            "split_digest": digest,
            "fingerprint": config.data.fingerprint,
            "config": key_of(config.identity())[:8],
            "state": STATES[trial.state],
            "error": trial.error or "" if trial.state == "failed" else "",
            "key": "",
            "models": tidy.models_of(plan),
            "trial": trial.number,
            "score": trial.score if trial.state == "complete" else None,
            **{f"param/{setting}": value for setting, value in trial.params.items()},
        }
        there = all(store.has(evaluation) for rung in plan.rungs for evaluation in rung.values())
        if trial.state == "complete" and there:
            yield from tidy.of_plan(store, plan, line, dataset_info)
        else:
            state = {"state": "missing"} if trial.state == "complete" else {}
            yield from _of_part(store, plan, line | state, sweep.measure, dataset_info)


def _of_part(
    store: Store, plan: Plan, line: dict[str, Any], measure: Measure, dataset_info: DatasetInfo
) -> Iterator[dict[str, Any]]:
    """What there is of a trial that has not come to its end."""
    for rung, models in enumerate(plan.rungs):
        for side, evaluation in models.items():
            if store.has(evaluation):
                one = line | {"key": evaluation.key, "model": side, "rung": rung, "rule": "each", "snapshots": 1}
                for images, metric, value in tidy.scores(store, evaluation, dataset_info):
                    yield one | {"images": images, "metric": metric, "value": value}
    last = {"model": "mean", "rung": len(plan.rungs) - 1, "rule": "last", "images": "reported", "metric": measure}
    yield line | last
