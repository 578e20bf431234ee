"""What the driver of a sweep would have to do with 1,000 trials on 256 GPUs: a simulation on paper, with its real code.

Virtual are the GPUs, the training and the time that passes on them. Real are the driver's parts: the study (Optuna on
sqlite, TPE and pruning), the store and every file in it, progress, what workers without a trial are given to do,
publishing into MLflow, summary and figures. The driver is one server with a queue: an event waits for the one before,
and takes as much processor time as the real code has just taken, whatever else this machine does. Stages are written
through the real store, with records, histories and scores as long as real ones; weights and label maps are a few bytes,
and so what hashing and moving them costs is not in the figures. Neither is Ray's own work.

    python benchmarks/scale.py                                  VOC 1/20, 1,000 trials, 256 GPUs, one GPU a trial
    python benchmarks/scale.py --recipe cityscapes-1/8 --workers 8
    python benchmarks/scale.py --recipe shapes --publish-every 1    every trial goes into MLflow when it ends
"""

import argparse
import heapq
import io
import json
import os
import random
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from rich.console import Console

from dmt_ray import tracking
from dmt_ray.cli.options import guarded
from dmt_ray.cli.sweep_cost import describe
from dmt_ray.config import Config, Data
from dmt_ray.data import Dataset
from dmt_ray.data.images import Images
from dmt_ray.data.splits import divide
from dmt_ray.engine.loop import ROW_STEPS, ROWS
from dmt_ray.execution import progress
from dmt_ray.execution.cost import Effort
from dmt_ray.execution.journal import SHARED, locked, note_executed
from dmt_ray.execution.runner import Machine, Runner
from dmt_ray.experiments import reuse
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.experiments.experiment_file import ExperimentFile, write
from dmt_ray.experiments.sweep import Params, Sweep, Uniform
from dmt_ray.plan import Stage, waves
from dmt_ray.recipes import load
from dmt_ray.report import publishing, summary
from dmt_ray.search.helping import START_SECONDS, Helping, Part
from dmt_ray.search.progress import SweepProgress
from dmt_ray.search.study import Study
from dmt_ray.store import Store
from dmt_ray.tracking.publish import publish

# Images of train and val, and classes, as the papers count them.
DATA = {"voc": (10_582, 1_449, 21), "cityscapes": (2_975, 500, 19)}
SPACE = {"weight.gamma1": Uniform(0, 8, step=0.25), "weight.gamma2": Uniform(0, 8, step=0.25)}
LOOK = 1.0  # seconds from one look of a worker that waits for another one to the next
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


@dataclass(frozen=True)
class Report:
    """What a trial tells the driver after a rung, and waits for."""

    rung: int
    score: float


Workers = Generator[float | Report, bool | None, None]


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


def _score(params: Params, rung: int, noise: float) -> float:
    """A made-up landscape whose best point is gamma1 = 5, gamma2 = 3."""
    far = (float(params["weight.gamma1"]) - 5) ** 2 / 64 + (float(params["weight.gamma2"]) - 3) ** 2 / 64
    return 0.6 + 0.02 * rung * (1 - far) + 0.003 * noise if rung else 0.6


class Simulation:
    """A sweep on virtual GPUs, driven by the real driver's code."""

    def __init__(self, options: argparse.Namespace, storage: Path, runner: Runner, sweep: Sweep) -> None:
        self.options, self.runner, self.sweep = options, runner, sweep
        self.store, self.pace, self.timer, self.clock = runner.store, Pace(options, runner), Timer(), Clock()
        self.folder = storage / "sweeps" / sweep.name
        dataset_info = DatasetInfo.of(runner.dataset(sweep.config.data), sweep.config, sweep.seeds)
        self.file = ExperimentFile(
            sweep, storage, recipe=options.recipe, trials=options.trials, dataset_info=dataset_info.to_json()
        )
        write(self.folder, self.file)
        self.busy = 0.0  # GPU seconds
        self.free = self.mirror_free = 0.0  # virtual times at which driver and publisher have nothing left to do
        self.waits: list[float] = []
        self.events = self.ended = self.given = 0
        self.idle = options.gpus // options.workers
        self.helping = Helping(sweep, self.store.has, self.clock.monotonic)
        self.parts: dict[str, Part] = {}  # what workers without a trial do, by the name of their work
        self.scores: dict[tuple[int, int], float] = {}  # of each trial's rungs
        self.doing: dict[Stage, float] = {}  # when it will have been computed
        self.waiting: Any = None
        self.tracker = tracking.connect(None, storage) if options.publish_every else None
        if self.tracker is not None:
            self.tracker.mirror.client = Counted(self.tracker.mirror.client, self.timer)  # type: ignore[assignment]

    # ---- the cluster ----------------------------------------------------------------------------------------------

    def perform_shared(self) -> float:
        """The stages that all trials share, each as soon as its inputs are there; when the last one is."""
        ends, now = dict[Stage, float](), self.clock.now
        for stage in self.store.missing(self.sweep.common()):
            seconds = self.pace.seconds(stage, 1)
            self.busy += seconds
            ends[stage] = seconds + max((ends.get(needed, now) for needed in stage.inputs.values()), default=now)
            self._write(stage, SHARED, 0.6, seconds)
        self.shared_work = self.busy
        self.clock.now = max(ends.values(), default=now)
        return self.clock.now

    def _write(self, stage: Stage, member: int | str, score: float, seconds: float) -> None:
        self.pace.write(self.store, stage, score, seconds)
        note_executed(self.folder, member, [stage.key])

    def trial(self, number: int, params: Params) -> Workers:
        """What a trial's workers do: yields the seconds until something happens, or what it reports."""
        workers, luck = self.options.workers, random.Random(number)
        plans = self.sweep.plans(params).values()
        for rung in range(self.sweep.rungs()):
            score = self.scores[number, rung] = _score(params, rung, luck.gauss(0, 1))
            missing = self.store.missing(stage for plan in plans for stage in plan.rungs[rung].values())
            if workers == 1:
                yield from self._alone(number, missing, score)
            elif missing:
                yield luck.uniform(9, 16)  # the start of a Ray Train run
                yield from self._together(number, missing, score)
            if (yield Report(rung, score)):
                return

    def _alone(self, number: int, stages: Sequence[Stage], score: float) -> Workers:
        """One worker computes stages one after the other; it waits for those that another one has leased."""
        for stage in stages:
            while (until := self.doing.get(stage)) is not None:
                yield max(until - self.clock.now, LOOK)
            if self.store.has(stage):
                continue
            with self.store.lease(stage, wait=False) as lease:
                lease.beat(0, 1)
                seconds = self.pace.seconds(stage, 1)
                self.busy += seconds
                self.doing[stage] = self.clock.now + seconds
                yield seconds
                self._write(stage, number, score, seconds)
                del self.doing[stage]

    def _together(self, number: int, stages: Sequence[Stage], score: float) -> Workers:
        """A worker group computes stages wave by wave."""
        for wave in waves(stages):
            with ExitStack() as leases:
                for stage in wave:
                    leases.enter_context(self.store.lease(stage, wait=False)).beat(0, 1)
                each = max(1, self.options.workers // len(wave))
                seconds = [self.pace.seconds(stage, each) for stage in wave]
                self.busy += sum(seconds) * each
                yield max(seconds)
                for stage, took in zip(wave, seconds, strict=True):
                    self._write(stage, number, score, took)

    def _help(self, part: Part) -> Workers:
        """What a worker without a trial does."""
        yield START_SECONDS
        yield from self._alone(part.number, self.store.missing([part.target]), self.scores[part.number, part.step])

    # ---- the driver -----------------------------------------------------------------------------------------------

    @contextmanager
    def driver(self, arrived: float) -> Iterator[None]:
        """Real work of the driver on an event that arrived then; the clock stands at its begin."""
        self.clock.now = max(arrived, self.free)
        self.waits.append(self.clock.now - arrived)
        began = time.thread_time()
        yield
        self.free = self.clock.now + time.thread_time() - began
        self.events += 1
        if self.events % self.options.tick_every == 0:
            self._tick()

    def _tick(self) -> None:
        self.clock.now = self.free + progress.REFRESH_SECONDS
        with self.timer.of("tick"):
            self.progress.tick()

    def run(self) -> None:
        """From the first trial to the last."""
        timer, options = self.timer, self.options
        queue: list[tuple[float, int, str, int, Workers | None, bool | None]] = []
        with timer.of("open the study"):
            study = Study(self.folder, self.sweep, options.trials)
        shared = self.perform_shared()
        console = Console(file=io.StringIO(), force_terminal=options.terminal, height=50)
        effort = Effort(self.runner.work_of)
        self.progress = SweepProgress(console, self.store, effort, self.sweep, [], options.trials)
        order = 0

        def begin(arrived: float) -> None:
            nonlocal order
            token = f"trial {order}"
            with self.driver(arrived):
                with timer.of("take (Optuna asks TPE)"):
                    taken = study.take(token)
                if taken is not None:
                    with timer.of("a trial begins (progress)"):
                        self.progress.begun(*taken)
            if taken is not None:
                self.idle -= 1
                self.helping.begun(*taken)
                order += 1
                heapq.heappush(queue, (self.free, order, token, taken[0], self.trial(*taken), None))

        def look_soon() -> None:
            """Something has changed: when a worker could have been started, see who has nothing to do."""
            nonlocal order
            if not study.remaining and options.workers == 1:
                order += 1
                heapq.heappush(queue, (self.free + START_SECONDS, order, "", 0, None, None))

        def give_away() -> None:
            nonlocal order
            with self.driver(self.clock.now), timer.of("give parts of trials away"):
                parts = self.helping.give(self.idle)
            self.given += len(parts)
            for part in parts:
                order += 1
                token, self.idle = f"part {order}", self.idle - 1
                self.parts[token] = part
                heapq.heappush(queue, (self.clock.now, order, token, part.number, self._help(part), None))

        for _ in range(min(options.trials, self.idle)):
            begin(shared)
        while queue:
            now, _, token, number, workers, prune = heapq.heappop(queue)
            self.clock.now = now
            if workers is None:
                give_away()
                continue
            try:
                told = workers.send(prune)
            except StopIteration:
                self.idle += 1
                if self.parts.pop(token, None) is None:
                    self.end(study, token, number, now)
                    begin(self.free)
                look_soon()
                continue
            order += 1
            if isinstance(told, Report):
                with self.driver(now):
                    with timer.of("report a rung (Optuna prunes)"):
                        prune = study.report(token, told.rung, told.score)
                    with timer.of("a rung is done (progress)"):
                        self.progress.scored(number, told.rung, told.score)
                if prune:
                    self.helping.ended(number)
                else:
                    self.helping.scored(number, told.rung)
                look_soon()
                heapq.heappush(queue, (self.free, order, token, number, workers, prune))
            else:
                heapq.heappush(queue, (now + told, order, token, number, workers, None))
        self.clock.now = max(self.clock.now, self.free)
        self.study, self.makespan, self.shared = study, self.clock.now, shared

    def end(self, study: Study, token: str, number: int, now: float) -> None:
        """A trial ends: it is closed, shown, and the sweep is handed to the publisher."""
        self.ended += 1
        with self.driver(now):
            with self.timer.of("finish a trial (Optuna)"):
                state = study.finish(token)
            with self.timer.of("a trial ends (progress)"):
                self.progress.ended(number, state)
            self.helping.ended(number)
            with self.timer.of("results for MLflow"):
                results = publishing.of_sweep(self.folder, self.file, self.store, "running", study.trials())
        if self.tracker is not None and self.ended % self.options.publish_every == 0:
            self.waiting = results
        if self.waiting is not None and self.mirror_free <= self.free:
            self.publish(self.waiting)

    def publish(self, results: Any) -> None:
        """What the publishing thread does meanwhile; newer results replace those that wait."""
        self.waiting = None
        began = time.thread_time()
        with self.timer.of("publish (second thread)"):
            publish(self.tracker.mirror, results)  # type: ignore[union-attr]
        self.mirror_free = max(self.mirror_free, self.free) + time.thread_time() - began

    def end_of_sweep(self) -> None:
        """What comes after the last trial."""
        with self.timer.of("end: read the trials"):
            trials = self.study.trials()
        if self.tracker is not None:
            with self.timer.of("end: results for MLflow"):
                results = publishing.of_sweep(self.folder, self.file, self.store, "stopped", trials)
            with self.timer.of("end: publish"):
                publish(self.tracker.mirror, results)
            with self.timer.of("end: publish again, nothing new"):
                publish(self.tracker.mirror, results)
        console = Console(file=io.StringIO())
        with self.timer.of("end: trials.csv"):
            rows = summary.rows_of(self.sweep, self.store, trials)
            summary.write_csv(self.folder / "trials.csv", self.sweep, rows)
        with self.timer.of("end: figures"):
            summary.write_figures(self.folder, self.sweep, trials)
        with self.timer.of("end: count the stages"):
            summary.count(reuse.needed(self.sweep, trials), self.folder, trials)
        with self.timer.of("end: all of the summary"):
            summary.show(console, self.file, self.store, trials)
        with self.timer.of("store: read all records"):
            self.stages = sum(1 for _ in self.store.records())
        with self.timer.of("store: ls"):
            self.store.ls()
        with self.timer.of("store: size"):
            self.store.size()
        with self.timer.of("open the study again"):
            Study(self.folder, self.sweep, self.options.trials)
        if not self.options.dry_run:
            return
        with self.timer.of("dry run, all there"):
            describe(console, self.sweep, self.store, self.runner.work_of, self.options.trials)

    def print(self, storage: Path) -> None:
        """The figures."""
        options, timer = self.options, self.timer
        states = [trial.state for trial in self.study.trials()]
        gpus, makespan = options.gpus, self.makespan
        events = sum(sum(seconds) for what, seconds in timer.spent.items() if _is_event(what))
        tick = float(np.mean(timer.spent["tick"])) if timer.spent["tick"] else 0.0
        longest = self.shared + self._chain()
        behind = self.shared + (self.busy - self.shared_work) / gpus
        print(f"\n{timer.table()}\n")
        print(f"trials: {', '.join(f'{states.count(state)} {state}' for state in sorted(set(states)))}")
        print(
            f"makespan {makespan / 3600:.2f} h; utilisation {self.busy / gpus / makespan:.1%}\n"
            f"lower bounds: all work on all GPUs {self.busy / gpus / 3600:.2f} h, longest path {longest / 3600:.2f} h; "
            f"the shared stages ({self.shared / 3600:.2f} h), then all other work on all GPUs {behind / 3600:.2f} h, "
            f"{behind / makespan:.1%} of the makespan\n"
            f"parts of trials given away: {self.given:,}"
        )
        print(
            f"driver: {events:.0f} s on events, {1000 * events / len(states):.0f} ms a trial, {events / makespan:.2%} "
            f"of the makespan; a tick a second adds {tick:.1%}; "
            f"an event waited {np.mean(self.waits):.2f} s on average, {max(self.waits):.1f} s at most"
        )
        published = timer.spent.get("publish (second thread)", [])
        calls = {what: seconds for what, seconds in timer.spent.items() if what.startswith("MLflow ")}
        if published:
            print(
                f"publisher: {sum(published):.0f} s, {sum(published) / makespan:.2%} of the makespan; "
                f"{sum(map(len, calls.values())):,} calls of MLflow, {sum(map(sum, calls.values())):.0f} s"
            )
        files, folders, size = _inodes(storage)
        print(
            f"store: {self.stages:,} stages; {files + folders:,} inodes, {files:,} of them files, {size / 1e6:.0f} MB"
        )
        for name in (self.folder / "study.db", storage / "mlflow.db"):
            if name.exists():
                print(f"{name.name}: {name.stat().st_size / 1e6:.1f} MB")
        print(f"memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB at most")

    def _chain(self) -> float:
        """Seconds of the longest path through a trial on as many GPUs as it can use, without Ray."""
        common, ends = set(self.sweep.common()), dict[Stage, float]()
        own = [stage for plan in self.sweep.corners()[0].values() for stage in plan.stages() if stage not in common]
        for wave in waves(own):
            for stage in wave:
                seconds = self.pace.seconds(stage, max(1, self.options.workers // len(wave)))
                ends[stage] = seconds + max((ends.get(needed, 0.0) for needed in stage.inputs.values()), default=0.0)
        return max(ends.values())


def _is_event(what: str) -> bool:
    return not what.startswith(("MLflow", "tick", "publish", "end:", "store:", "dry run", "open", "bind"))


def _inodes(folder: Path) -> tuple[int, int, int]:
    files = folders = size = 0
    for stage_path, _, names in os.walk(folder):
        folders += 1
        files += len(names)
        size += sum(os.lstat(os.path.join(stage_path, name)).st_size for name in names)
    return files, folders, size


def main() -> int | None:
    """Simulate one sweep and print the figures."""
    chosen = parser().parse_args()
    with tempfile.TemporaryDirectory(prefix="dmt-scale-") as staging:
        storage = (chosen.storage or Path(staging)).absolute()
        simulate(chosen, storage).print(storage)
    return None


def parser() -> argparse.ArgumentParser:
    """What can be asked."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--recipe", default="voc-1/20")
    options.add_argument("--trials", type=int, default=1000)
    options.add_argument("--gpus", type=int, default=256)
    options.add_argument("--workers", type=int, default=1, help="GPUs of a trial, each with a worker (default: 1)")
    options.add_argument(
        "--step-seconds", type=float, default=0.1, help="optimizer step of one model on one GPU; 0.1 is an assumption"
    )
    options.add_argument(
        "--image-seconds", type=float, default=0.02, help="image that is labelled or scored; 0.02 is an assumption"
    )
    options.add_argument(
        "--scaling", type=float, default=0.8, help="what each further GPU of a model adds; 0.8 is an assumption"
    )
    options.add_argument("--failures", type=float, default=0, help="failures per 1,000 GPU hours (default: 0)")
    options.add_argument("--grid", type=int, default=0, help="in place of a search, as many values per exponent")
    options.add_argument(
        "--publish-every", type=int, default=0, help="ends of trials from one publication to the next (0: no MLflow)"
    )
    options.add_argument("--tick-every", type=int, default=10, help="events from one measured tick to the next")
    options.add_argument("--terminal", action="store_true", help="draw the screen, as on a terminal of 50 lines")
    options.add_argument("--no-dry-run", dest="dry_run", action="store_false", help="leave the dry runs out")
    options.add_argument("--storage", type=Path, help="a new folder for the store (default: a temporary one)")
    return options


def simulate(options: argparse.Namespace, storage: Path) -> Simulation:
    """Plan, dry-run and perform a sweep; its figures are in the result."""
    runner = OnPaper(Machine(storage, device="cpu"))
    timer, nowhere = Timer(), Console(file=io.StringIO())
    with timer.of("bind the recipe"):
        config = runner.bind(load(options.recipe))
    sweep = _sweep(config, options.grid)
    options.trials = min(options.trials, len(sweep.points())) if options.grid else options.trials
    if options.dry_run:
        with timer.of("dry run, nothing there"):
            describe(nowhere, sweep, runner.store, runner.work_of, options.trials)
    folder = storage / "sweeps" / sweep.name
    with locked(folder):
        simulation = Simulation(options, storage, runner, sweep)
        simulation.timer.spent |= timer.spent
        simulation.timer.cpu |= timer.cpu
        with mock.patch.object(progress, "time", simulation.clock):
            simulation.run()
            simulation.end_of_sweep()
    return simulation


def _sweep(config: Config, grid: int) -> Sweep:
    paper = [{name: gamma for name in SPACE} for gamma in (5.0, 3.0)]
    return Sweep("gamma_sweep", "Which exponents?", config, "dmt", SPACE, (0,), tuple(paper), grid)


if __name__ == "__main__":
    raise SystemExit(guarded(main))
