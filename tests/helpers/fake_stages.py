"""Stages as the engine writes them, with numbers that a reader can check by hand, and nothing computed."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from dmt_ray.experiments.ablation_file import AblationFile

from dmt_ray.experiments.ablation import Ablation, Column, Row, cells
from dmt_ray.experiments.dataset_info import DatasetInfo
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
            table |= {"agreement": 0.9, "mean_weight": 0.7, "pseudo_accuracy": [0.8] * (len(steps) - 1) + [np.nan]}
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
    question: str, rows: dict[str, Row], seeds: tuple[int, ...] = (0, 1), columns: dict[str, Column] | None = None
) -> AblationFile:
    """An ablation on the built-in toy data; the one called "files" knows the colours of its classes."""
    columns = columns or {"shapes": Column()}
    made = cells("shapes", ("percentiles=[0.5, 1.0]",), rows, columns, lambda config: config)
    ablation = Ablation(question, "What is each part worth?", "shapes", made, seeds, "Baseline")
    splits = {seed: (f"random-16-{seed}", f"digest{seed}") for seed in seeds}
    info = DatasetInfo(CLASSES, PALETTE if question == "files" else None, splits, "python -m x").to_json()
    return AblationFile(ablation, Path("runs"), None, dict.fromkeys(columns, info), "python -m x")


def perform(store: Store, file: AblationFile, rows: Iterable[str] | None = None) -> None:
    """Fill the store as if these rows had run; each further seed is a tenth better."""
    for wanted in file.ablation.wanted():
        if rows is None or wanted.cell.row in rows:
            fill(store, wanted.plan, gain=0.1 * wanted.seed)
