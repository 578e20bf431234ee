"""The files beside a run: settings, tables, figures."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml

from dmt_ray.config import Config
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.experiments.sweep import Trial
from dmt_ray.plan import Plan
from dmt_ray.plan.files import EXAMPLES
from dmt_ray.report.figures import save, training_curves, weight_maps
from dmt_ray.report.summary import write_csv, write_figures
from dmt_ray.results.curves import finetunings, histories
from dmt_ray.store import Store
from dmt_ray.tracking.describe import stage_table
from dmt_ray.tracking.results import SweepResults


def write_config(path: Path, config: Config) -> None:
    """The settings as a YAML file that `--recipe` reads again."""
    values = config.model_dump(mode="json")
    path.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")


def write_run(
    folder: Path,
    store: Store,
    config: Config,
    plans: Mapping[int, Plan],
    executed: Sequence[str],
    dataset_info: DatasetInfo,
) -> None:
    """Files of one trial or run: config.yaml, stages.json, curves.png, and panel.png where there are examples."""
    write_config(folder / "config.yaml", config)
    table = stage_table(store, plans, executed)
    (folder / "stages.json").write_text(json.dumps(table, indent=1, default=str) + "\n", encoding="utf-8")
    if found := histories(store, plans):
        save(training_curves(found), folder / "curves.png")
    write_panel(folder / "panel.png", store, next(iter(plans.values())), dataset_info)


def write_panel(path: Path, store: Store, plan: Plan, dataset_info: DatasetInfo) -> bool:
    """What model A was taught and said; False where examples are evicted, or colours unknown."""
    stored = [store.open(stage) / EXAMPLES for stage in finetunings(store, plan)]
    if dataset_info.palette is None or not stored or not all(file.exists() for file in stored):
        return False
    iterations = []
    for file in stored:
        with np.load(file, allow_pickle=False) as content:
            iterations.append(dict(content))
    if not len(iterations[0]["ids"]) or iterations[0]["truth_0"].size == 1:  # in classification there are no masks
        return False
    save(weight_maps(iterations, dataset_info.palette, dataset_info.classes), path)
    return True


def write_sweep(folder: Path, results: SweepResults, best: Trial | None) -> None:
    """Files of a sweep: config.yaml, trials.csv, curves.png, landscape.png where it is about gamma, best/panel.png."""
    write_config(folder / "config.yaml", results.sweep.config)
    write_csv(folder / "trials.csv", results.sweep, results.store, results.begun)
    if results.begun:
        write_figures(folder, results.sweep, results.begun)
    if best is not None:
        plan = results.sweep.plans(best.params)[results.sweep.seeds[0]]
        write_panel(folder / "best_panel.png", results.store, plan, results.dataset_info)
