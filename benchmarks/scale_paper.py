"""What stands in for data, training, time and MLflow where `scale` simulates a sweep."""

import argparse
import json
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import numpy as np

from dmt_ray.config import Data
from dmt_ray.data import Dataset
from dmt_ray.data.images import Images
from dmt_ray.data.splits import divide
from dmt_ray.engine.loop import ROW_STEPS, ROWS
from dmt_ray.execution.runner import Runner
from dmt_ray.plan import Stage
from dmt_ray.store import Store

# Images of train and val, and classes, as the papers count them.
DATA = {"voc": (10_582, 1_449, 21), "cityscapes": (2_975, 500, 19)}
EXAMPLES = 2_000  # bytes of the weights and label maps that are written in place of real ones


class Clock:
    """Virtual seconds, in place of the module `time` where the driver asks how late it is."""

    now = 0.0

    def monotonic(self) -> float:
        """Now."""
        return self.now

    time = monotonic


class OnPaper(Runner):
    """A runner whose data set has the right number of images, each of one pixel."""

    def dataset(self, data: Data) -> Dataset:
        """The stub, or the built-in toy data set."""
        return _dataset(data.name) if data.name in DATA else super().dataset(data)


def _dataset(name: str, made: dict[str, Dataset] = {}) -> Dataset:  # noqa: B006  # one for all
    if name not in made:
        train, val, classes = DATA[name]
        tiny = (resources.files("dmt_ray.data") / "lists" / f"{name}_valtiny.txt").read_text(encoding="utf-8").split()
        subsets = {
            "train": _images([f"train_{i:05}" for i in range(train)], classes),
            "val": _images([*tiny, *(f"val_{i:05}" for i in range(val - len(tiny)))], classes),
        }
        palette = np.arange(3 * classes, dtype=np.uint8).reshape(classes, 3) * 4
        names = tuple(f"class {k}" for k in range(classes))
        made[name] = Dataset(name, names, palette, "on paper", subsets, None)
    return made[name]


def _images(ids: Sequence[str], classes: int) -> Images:
    """Images of one pixel, of each class in turn."""
    count = len(ids)
    masks = (np.arange(count) % classes).astype(np.uint8)
    sizes, known = np.ones((count, 2), np.int32), np.ones(count, np.bool_)
    return Images(tuple(ids), sizes, np.arange(count + 1), np.zeros((count, 3), np.uint8), masks, known)


@dataclass
class Timer:
    """Real seconds, and seconds of the processor, by what they were spent on."""

    spent: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    cpu: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @contextmanager
    def of(self, what: str) -> Iterator[None]:
        """Time what is done inside."""
        began, cpu = time.perf_counter(), time.thread_time()
        yield
        self.spent[what].append(time.perf_counter() - began)
        self.cpu[what].append(time.thread_time() - cpu)

    def table(self) -> str:
        """A row for each thing, in Markdown."""
        titles = ("what", "times", "mean ms", "mean CPU ms", "last tenth, mean CPU ms", "longest ms", "sum s", "CPU s")
        lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
        for what, seconds in self.spent.items():
            wall, cpu = 1000 * np.array(seconds), 1000 * np.array(self.cpu[what])
            tail = cpu[-max(1, len(cpu) // 10) :].mean()
            lines.append(
                f"| {what} | {len(wall):,} | {wall.mean():.1f} | {cpu.mean():.1f} | {tail:.1f} | {wall.max():.0f} "
                f"| {wall.sum() / 1000:.1f} | {cpu.sum() / 1000:.1f} |"
            )
        return "\n".join(lines)


class Counted:
    """An MLflow client that times its calls."""

    def __init__(self, client: Any, timer: Timer) -> None:
        self._client, self._timer = client, timer

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            with self._timer.of(f"MLflow {name}"):
                return method(*args, **kwargs)

        return call


class Pace:
    """How long stages take, and what they leave in the store."""

    def __init__(self, options: argparse.Namespace, runner: Runner) -> None:
        self.options, self.runner, self.random = options, runner, random.Random(0)
        self._amounts: dict[str, tuple[int, int, int, int]] = {}

    def seconds(self, stage: Stage, gpus: int) -> float:
        """GPU time of a stage on so many GPUs, which share a step or a list of images evenly."""
        steps, images = self.amounts(stage)[:2]
        alone = steps * self.options.step_seconds + images * self.options.image_seconds
        seconds = alone / (1 + (gpus - 1) * self.options.scaling) * self.random.uniform(0.97, 1.03)
        return self._with_failures(seconds, gpus)

    def _with_failures(self, seconds: float, gpus: int) -> float:
        """What is lost when a node fails: the stage is begun again, 30 s later."""
        lost, rate = 0.0, gpus * self.options.failures / 3600 / 1000
        while rate and (after := self.random.expovariate(rate)) < seconds:
            lost += after + 30
        return lost + seconds

    def amounts(self, stage: Stage) -> tuple[int, int, int, int]:
        """Steps, images that are labelled or scored, scores on the way, and images of each of those."""
        config: Any = stage.config
        name = f"{stage.operation.name} {stage.seed}"
        if name not in self._amounts:
            work = self.runner.work_of(stage)
            if not stage.config.trains:
                self._amounts[name] = (0, work, 0, 0)
            else:
                parts = divide(config.split, config.data, self.runner.dataset(config.data))
                every = config.training.score_every
                images = len(parts.selection[1]) + len(parts.reported[1])
                scores = -(-work // every) if every else 0
                self._amounts[name] = (work, scores * images, scores, images)
        return self._amounts[name]

    def write(self, store: Store, stage: Stage, score: float, seconds: float) -> None:
        """Write a stage's files through the store."""
        kind, (steps, images, scores, _) = stage.operation.name, self.amounts(stage)
        classes = len(self.runner.dataset(stage.config.data).classes)
        made = {"host": "paper", "device": "paper", "steps": steps or images, "seconds": round(seconds, 3)}
        with store.write(stage, made) as folder:
            if steps:
                (folder / "history.csv").write_text(_history(kind, steps, classes), encoding="utf-8")
                (folder / "model.safetensors").write_bytes(bytes(EXAMPLES))
                (folder / "model.json").write_text("{}", encoding="utf-8")
                if scores:
                    rows = [f"{steps * (i + 1) // scores},{score},{score}" for i in range(scores)]
                    text = "\n".join(["step,selection_miou,reported_miou", *rows, ""])
                    (folder / "scores.csv").write_text(text, encoding="utf-8")
            elif kind == "label":
                for name in ("labels.npy", "confidence.npy"):
                    (folder / name).write_bytes(bytes(EXAMPLES))
                said = {"kept": 0.5, "accuracy": 0.9, "coverage": [0.5] * classes, "class_accuracy": [0.9] * classes}
                (folder / "summary.json").write_text(json.dumps(said), encoding="utf-8")
            else:
                row = {"miou": score, "pixel_accuracy": 0.9, "iou": [score] * classes}
                row["confusion"] = [[10_000] * classes] * classes
                (folder / "metrics.json").write_text(json.dumps({"selection": row, "reported": row}), encoding="utf-8")


def _history(kind: str, steps: int, classes: int, known: dict[tuple[str, int, int], str] = {}) -> str:  # noqa: B006
    """As many rows and columns as a real history has, numbers of real length."""
    if (kind, steps, classes) not in known:
        columns = ["step", "epoch", "learning_rate", "loss"]
        if kind == "finetune":
            columns += ["agreement", "negative", "positive", "mean_weight", "coverage", "pseudo_accuracy"]
            columns += ["right_weight", "wrong_weight", *(f"coverage.class {k}" for k in range(classes))]
        every = max(ROW_STEPS, steps // ROWS)
        numbers = [*range(every, steps, every), steps]
        values = np.random.default_rng(0).random((len(numbers), len(columns) - 2)).tolist()
        rows = [f"{step},1," + ",".join(map(repr, row)) for step, row in zip(numbers, values, strict=True)]
        known[kind, steps, classes] = "\n".join([",".join(columns), *rows, ""])
    return known[kind, steps, classes]
