"""The files beside a run in MLflow: settings, stages, figures."""

import json
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from dmt_ray.config import Config
from dmt_ray.errors import MissingStages
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.plan import Plan
from dmt_ray.report.figures.curves import training_curves
from dmt_ray.report.figures.kit import save
from dmt_ray.report.figures.maps import stored_examples, weight_maps
from dmt_ray.results.curves import histories
from dmt_ray.store import Store


def write_config(path: Path, config: Config) -> None:
    """Write settings as a YAML file that `--recipe` reads again."""
    values = config.model_dump(mode="json")
    path.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")


def write_run(
    folder: Path,
    store: Store,
    config: Config,
    plans: Mapping[int, Plan],
    executed: Collection[str] | None,
    info: DatasetInfo,
) -> None:
    """Write config.yaml, stages.json, curves.png, and panel.png where there are examples, to a folder.

    Args:
        plans: By seed.
        executed: Keys of the stages that were computed for these plans; None: all.
    """
    write_config(folder / "config.yaml", config)
    table = list(_stages(store, plans, executed))
    (folder / "stages.json").write_text(json.dumps(table, indent=1, default=str) + "\n", encoding="utf-8")
    if tables := histories(store, plans):
        save(training_curves(tables), folder / "curves.png")
    write_panel(folder / "panel.png", store, next(iter(plans.values())), info)


def _stages(store: Store, plans: Mapping[int, Plan], executed: Collection[str] | None) -> Iterable[dict[str, Any]]:
    """All stages of the plans that are stored, each once: what, of which code, how long."""
    for stage, seed in {stage: seed for seed, plan in plans.items() for stage in plan.stages()}.items():
        if store.has(stage):
            record = store.record(stage)
            yield {
                "key": stage.key,
                "operation": stage.operation.name,
                "what": record.summary,
                "seed": seed,
                "inputs": record.inputs,
                "reused": executed is not None and stage.key not in executed,
                "digest": record.digest,
                "made": record.made,
            }


def write_panel(path: Path, store: Store, plan: Plan, info: DatasetInfo) -> None:
    """Draw model A's labels and predictions; nothing where examples are evicted, or colours unknown."""
    if info.palette is not None:
        with suppress(MissingStages):
            save(weight_maps(stored_examples(store, plan), info.palette, info.classes), path)
