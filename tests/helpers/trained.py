"""Stores that hold trained models: tiny networks with random weights, and scores that a reader can check."""

import json
from pathlib import Path

import torch

from dmt_ray import models
from dmt_ray.config import Config, Model, override
from dmt_ray.experiments import experiment_file
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.experiments.experiment_file import ExperimentFile
from dmt_ray.experiments.run import Run
from dmt_ray.plan import Plan
from dmt_ray.recipes import named
from dmt_ray.store import Store
from tests.helpers.fake_stages import CLASSES, PALETTE, write_files

TINY = Model(architecture="UNet", encoder="none", arguments={"base": 2})
FIRST = {"name": "imagenet-lite0", "origin": "package x 0.1.0", "licence": "Apache-2.0", "digest": "0" * 32}
FINGERPRINT = "0123456789abcdef0123456789abcdef"


def store_models(
    store: Store, plan: Plan, model: Model = TINY, classes: int = len(CLASSES), validation: tuple[float, ...] = (0.5,)
) -> None:
    """The stages of a plan, whose trained models have random weights.

    Args:
        store: Where they go.
        plan: Its models all have the same network.
        model: The network.
        classes: Of its output.
        validation: Scores of A and B after the last rung, 0.2 before; those on the test images are 0.1 lower.
    """
    last = list(plan.rungs[-1].values())
    for stage in plan.stages():
        if store.has(stage):
            continue
        with store.write(stage, {"seconds": 1.0, "versions": {"torch": "9.9"}}) as folder:
            write_files(folder, stage, 0, 0.0)
            if stage.operation.name == "evaluate":
                score = dict(zip("AB", validation)).get(stage.side, validation[0])
                write_metrics(folder, score if stage in last else 0.2)
            if hasattr(stage.config, "training"):
                torch.manual_seed(int(stage.key[:8], 16))
                settings = model.model_dump(mode="json")
                description = {"model": settings, "classes": classes, "side": stage.side, "first_weights": FIRST}
                models.save(models.build(model, classes), folder, description)


def write_metrics(folder: Path, validation: float) -> None:
    """What an evaluation writes."""
    values = {"selection": (validation, 6), "reported": (validation - 0.1, 7)}
    scores = {
        which: {"miou": score, "pixel_accuracy": 0.9, "iou": [0.5] * 6, "images": images}
        for which, (score, images) in values.items()
    }
    (folder / "metrics.json").write_text(json.dumps(scores))


def run_file(storage: Path, method: str = "baseline", model: Model = TINY, seed: int = 0) -> ExperimentFile:
    """A run on the built-in toy data set, whose stages and models are stored in a folder."""
    config: Config = override(named("shapes"), {"data.fingerprint": FINGERPRINT, "percentiles": [1.0]})
    info = DatasetInfo(CLASSES, PALETTE, {seed: ("random-16-0", "abcabcabcabc")}, "dmt run --method baseline")
    file = ExperimentFile(Run(method, config, seed), storage, dataset_info=info.to_json(), recipe="shapes")
    store_models(Store(storage), file.run.plan(), model, validation=(0.5, 0.6))
    experiment_file.write(file.folder, file)
    return file
