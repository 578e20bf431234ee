"""A sweep on the virtual GPUs of `scale`, driven by the real driver's code."""

import argparse
import heapq
import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from scale_gpus import Gpus, Report, Workers
from scale_paper import Clock, Counted, Timer

from dmt_ray import tracking
from dmt_ray.cli import sweep_cost
from dmt_ray.execution import progress
from dmt_ray.execution.cost import Effort
from dmt_ray.execution.runner import Runner
from dmt_ray.experiments import reuse
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.experiments.experiment_file import ExperimentFile, write
from dmt_ray.experiments.sweep import Sweep
from dmt_ray.report import publishing, summary
from dmt_ray.search.helping import START_SECONDS, Helping, Part
from dmt_ray.search.progress import SweepProgress
from dmt_ray.search.study import Study
from dmt_ray.search.turns import Turns
from dmt_ray.tracking.publish import publish


class Simulation:
    """A sweep, from its first trial to its summary.

    Attributes:
        cluster: The GPUs.
        shared: Virtual time at which the stages are there that all trials share.
        all_begun: The same of the last trial's begin.
        makespan: The same of the last trial's end.
        given: Parts of trials that were given to helpers.
        pauses: Times that a trial made room for another one.
    """

    def __init__(self, options: argparse.Namespace, storage: Path, runner: Runner, sweep: Sweep) -> None:
        self.options, self.runner, self.sweep = options, runner, sweep
        self.store, self.timer, self.clock = runner.store, Timer(), Clock()
        self.folder = storage / "sweeps" / sweep.name
        dataset_info = DatasetInfo.of(runner.dataset(sweep.config.data), sweep.config, sweep.seeds)
        self.file = ExperimentFile(
            sweep, storage, recipe=options.recipe, trials=options.trials, dataset_info=dataset_info.to_json()
        )
        write(self.folder, self.file)
        self.cluster = Gpus(options, runner, sweep, self.folder, self.clock)
        self.all_begun = 0.0  # virtual time at which the last trial begins for the first time
        self.free = self.mirror_free = 0.0  # virtual times at which driver and publisher have nothing left to do
        self.waits: list[float] = []
        self.events = self.ended = self.given = self.pauses = 0
        self.idle = options.gpus // options.workers
        self.helping = Helping(sweep, self.store.has, self.clock.monotonic)
        self.parts: dict[str, Part] = {}  # what workers without a trial do, by the name of their work
        self.waiting: Any = None
        self.tracker = tracking.connect(None, storage) if options.publish_every else None
        if self.tracker is not None:
            self.tracker.mirror.client = Counted(self.tracker.mirror.client, self.timer)  # type: ignore[assignment]

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
        turns = Turns(study, self.idle, self.clock.monotonic)
        self.shared = self.cluster.perform_shared()
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
                turns.begun(taken[0])
                self.all_begun = self.all_begun or (0.0 if study.remaining else self.free)
                order += 1
                heapq.heappush(queue, (self.free, order, token, taken[0], self.cluster.trial(*taken), None))

        def look_soon() -> None:
            """Something has changed: when a worker could have been started, see who has nothing to do."""
            nonlocal order
            if not study.ready and options.workers == 1:
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
                heapq.heappush(queue, (self.clock.now, order, token, part.number, self.cluster.help(part), None))

        for _ in range(min(options.trials, self.idle)):
            begin(self.shared)
        while queue:
            now, _, token, number, workers, prune = heapq.heappop(queue)
            self.clock.now = now
            if workers is None:
                give_away()
                continue
            try:
                event = workers.send(prune)
            except StopIteration:
                self.idle += 1
                if self.parts.pop(token, None) is None:
                    self.end(study, token, number, now)
                    begin(self.free)
                look_soon()
                continue
            order += 1
            if isinstance(event, Report):
                with self.driver(now):
                    with timer.of("report a rung (Optuna prunes)"):
                        prune = study.report(token, event.rung, event.score)
                    with timer.of("a rung is done (progress)"):
                        self.progress.scored(number, event.rung, event.score)
                    pause = not prune and turns.over(token, number, event.rung)
                if pause:
                    self.pause(study, token, number)
                    begin(self.free)
                    continue
                if prune:
                    self.helping.ended(number)
                else:
                    self.helping.scored(number, event.rung)
                look_soon()
                self.cluster.timeline.note("waits for the driver", now, self.free, options.workers)
                heapq.heappush(queue, (self.free, order, token, number, workers, prune))
            else:
                heapq.heappush(queue, (now + event, order, token, number, workers, None))
        self.clock.now = max(self.clock.now, self.free)
        self.study, self.makespan = study, self.clock.now

    def pause(self, study: Study, token: str, number: int) -> None:
        """A trial makes room for others."""
        self.idle, self.pauses = self.idle + 1, self.pauses + 1
        with self.driver(self.clock.now), self.timer.of("a trial makes room"):
            study.finish(token)
            self.progress.paused(number)
        self.helping.ended(number)

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
            sweep_cost.describe(console, self.sweep, self.store, self.runner.work_of, self.options.trials)
