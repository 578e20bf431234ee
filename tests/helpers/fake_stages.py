"""Stages as the engine writes them, with numbers that a reader can check by hand, and nothing computed."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from dmt_ray.execution.journal import locked
from dmt_ray.experiments.ablation import Ablation, Column, Row, cells
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.experiments.experiment_file import ExperimentFile, write
from dmt_ray.experiments.sweep import Sweep
from dmt_ray.methods.space import Choice, Uniform
from dmt_ray.plan import Plan, Stage, in_order
from dmt_ray.recipes import named
from dmt_ray.store import Store

CLASSES = ("background", "disc", "square", "triangle", "star", "cross")
PALETTE = np.arange(18, dtype=np.uint8).reshape(6, 3) * 14
NO_COLOURS = DatasetInfo(CLASSES)  # no panels, which take a while to draw
INFO = DatasetInfo(
    CLASSES, PALETTE, {0: ("random-60-0", "abcabcabcabc"), 1: ("random-60-1", "defdefdefdef")}, "make sweep"
)
CONFIG = named("shapes").evolve(percentiles=(0.5, 1.0))
STEPS = {"pretrain": 20, "finetune": 10}
SCORES = (0.50, 0.62, 0.60)  # selection mIoU after each rung
REPORTED = (0.48, 0.57, 0.58)
POINTS = tuple({"weight.gamma1": float(i), "method": method} for i, method in enumerate(("dmt", "dst", "dmt", "dmt")))
TWO_ROWS = {"Baseline": Row("baseline"), "DMT": Row("dmt")}


def fill(store: Store, plan: Plan, rungs: int = 3, gain: float = 0.0, sides: str = "AB") -> list[str]:
    """Write the stages of a plan up to a rung, as the engine does; returns the keys of those that were not there."""
    written = []
    for number, rung in enumerate(plan.rungs[:rungs]):
        for stage in in_order(evaluation for side, evaluation in rung.items() if side in sides):
            if not store.has(stage):
                written.append(stage.key)
                steps = STEPS.get(stage.operation.name)
                made = {"seconds": 10.0, "versions": {"torch": "9.9"}} | ({"steps": steps} if steps else {})
                with store.write(stage, made) as folder:
                    write_files(folder, stage, number, gain)
    return written


def write_files(folder: Path, stage: Stage, rung: int, gain: float) -> None:
    """Write the files of a stage."""
    kind = stage.operation.name
    if kind in STEPS:
        steps = np.arange(2, STEPS[kind] + 1, 2)
        table = {"step": steps, "epoch": 0, "learning_rate": 0.1, "loss": 1 / steps, "labelled_loss": 1 / steps}
        if kind == "finetune":
            table |= {"agreement": 0.9, "negative": 0.06, "positive": 0.04}
            table |= {"mean_weight": 0.7, "pseudo_accuracy": [0.8] * (len(steps) - 1) + [np.nan]}
            np.savez(folder / "examples.npz", **_examples())
        pd.DataFrame(table).to_csv(folder / "history.csv", index=False)
    elif kind == "label":
        values = {"kept": 0.5, "coverage": [0.5] * 6, "accuracy": 0.9, "class_accuracy": [0.9] * 5 + [None]}
        (folder / "summary.json").write_text(json.dumps(values))
    else:
        scores = {
            which: {"miou": value[rung] + gain, "pixel_accuracy": 0.9, "iou": [0.5] * 5 + [None]}
            for which, value in (("selection", SCORES), ("reported", REPORTED))
        }
        (folder / "metrics.json").write_text(json.dumps(scores))


def _examples() -> dict[str, np.ndarray]:
    maps = {f"{name}_0": np.eye(8, dtype=np.uint8) for name in ("truth", "label", "confidence", "weight", "prediction")}
    return {"ids": np.array(["train_0000"]), "image_0": np.zeros((8, 8, 3), np.uint8), **maps}


def ablation_file(
    question: str,
    rows: dict[str, Row],
    seeds: tuple[int, ...] = (0, 1),
    columns: dict[str, Column] | None = None,
    recipe: str = "shapes",
) -> ExperimentFile:
    """An ablation on the data of a recipe; the one called "files" knows the colours of its classes."""
    columns = columns or {recipe: Column()}
    made = cells(recipe, ("percentiles=[0.5, 1.0]",), rows, columns, lambda config: config)
    ablation = Ablation(question, "What is each part worth?", recipe, made, seeds, "Baseline")
    splits = {seed: (f"random-16-{seed}", f"digest{seed}") for seed in seeds}
    info = DatasetInfo(CLASSES, PALETTE if question == "files" else None, splits, "python -m x").to_json()
    return ExperimentFile(ablation, Path("runs"), None, recipe, (), 0, dict.fromkeys(columns, info), "python -m x")


def perform(store: Store, file: ExperimentFile, rows: Iterable[str] | None = None) -> None:
    """Fill the store as if these rows had run; each further seed is a tenth better."""
    for wanted in file.ablation.members():
        if rows is None or wanted.cell.row in rows:
            fill(store, wanted.plan, gain=0.1 * wanted.seed)


def sweep(storage: Path, question: str = "joint") -> Sweep:
    """A sweep of four trials: two complete, one failed after rung 1, one that runs and has nothing of its own yet."""
    from dmt_ray.search.study import Study  # Optuna takes seconds to import

    space = {"weight.gamma1": Uniform(0, 8), "method": Choice("dst", "dmt")}
    sweep, store = Sweep(question, "What is best?", CONFIG, "dmt", space, (0, 1), POINTS), Store(storage)
    folder = storage / "sweeps" / sweep.name
    folder.mkdir(parents=True)
    write(folder, ExperimentFile(sweep, storage, None, "shapes", (), 4, INFO.to_json(), INFO.command))
    with locked(folder):
        study = Study(folder, sweep, 4)
        for number, (rungs, error) in enumerate([(3, None), (3, None), (2, "out of memory"), (1, "")]):
            study.take(str(number))
            for seed, plan in sweep.plans(POINTS[number]).items():
                fill(store, plan, rungs, gain=0.1 * seed)
            for rung in range(rungs):
                study.report(str(number), rung, SCORES[rung] + 0.05)
            if error != "":
                study.finish(str(number), error)
    return sweep
