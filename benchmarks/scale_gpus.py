"""The virtual GPUs of `scale`: what trials, worker groups and helpers do on them, and for how long."""

import argparse
import random
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from scale_paper import Clock, Pace
from scale_timeline import Timeline

from dmt_ray.config import SIDES
from dmt_ray.execution.journal import SHARED, note_executed
from dmt_ray.execution.runner import Runner
from dmt_ray.experiments.sweep import Params, Sweep
from dmt_ray.plan import Stage, waves
from dmt_ray.search.helping import START_SECONDS, Part

LOOK = 1.0  # seconds from one look of a worker that waits for another one to the next
GROUP_SECONDS = (9, 16)  # to start a Ray Train run


@dataclass(frozen=True)
class Report:
    """What a trial tells the driver after a rung, and waits for."""

    rung: int
    score: float


Workers = Generator[float | Report, bool | None, None]


def _score(params: Params, rung: int, noise: float) -> float:
    """A made-up landscape whose best point is gamma1 = 5, gamma2 = 3."""
    far = (float(params["weight.gamma1"]) - 5) ** 2 / 64 + (float(params["weight.gamma2"]) - 3) ** 2 / 64
    return 0.6 + 0.02 * rung * (1 - far) + 0.003 * noise if rung else 0.6


class Gpus:
    """Workers with a virtual GPU each; what they compute goes into the real store.

    Attributes:
        busy: GPU seconds of all stages that were computed.
        shared_work: Those of the stages that all trials share.
    """

    def __init__(self, options: argparse.Namespace, runner: Runner, sweep: Sweep, folder: Path, clock: Clock) -> None:
        self.options, self.sweep, self.folder, self.clock = options, sweep, folder, clock
        self.store, self.pace, self.timeline = runner.store, Pace(options, runner), Timeline()
        self.busy = self.shared_work = 0.0
        self.scores: dict[tuple[int, int], float] = {}  # of each trial's rungs
        self.doing: dict[Stage, float] = {}  # when it will have been computed

    def perform_shared(self) -> float:
        """The stages that all trials share, each as soon as its inputs are there; when the last one is."""
        ends, now = dict[Stage, float](), self.clock.now
        missing = self.store.missing(self.sweep.common())
        if self.options.shared_workers > 1:
            return self._perform_shared_together(missing)
        for stage in missing:
            seconds = self.pace.seconds(stage, 1)
            self.busy += seconds
            begins = max((ends.get(needed, now) for needed in stage.inputs.values()), default=now)
            ends[stage] = begins + seconds
            self.timeline.note("computes", begins, ends[stage])
            self._write(stage, SHARED, 0.6, seconds)
        self.shared_work = self.busy
        self.clock.now = max(ends.values(), default=now)
        return self.clock.now

    def _perform_shared_together(self, stages: Sequence[Stage]) -> float:
        """The same by a worker group, wave by wave, half of it for each model."""
        workers = self.options.shared_workers
        self.clock.now += self._spend("starts", random.Random(0).uniform(*GROUP_SECONDS), workers)
        for wave in waves(stages):
            took = dict.fromkeys(SIDES, 0.0)
            for stage in wave:
                seconds = self.pace.seconds(stage, workers // 2)
                took[stage.side] += seconds
                self.busy += seconds * (workers // 2)
                self._write(stage, SHARED, 0.6, seconds)
            for seconds in took.values():
                self._spend("computes", seconds, workers // 2)
            self.clock.now += max(took.values())
        self.shared_work = self.busy
        return self.clock.now

    def _write(self, stage: Stage, member: int | str, score: float, seconds: float) -> None:
        self.pace.write(self.store, stage, score, seconds)
        note_executed(self.folder, member, [stage.key])

    def trial(self, number: int, params: Params) -> Workers:
        """What a trial's workers do: yields the seconds until something happens, or what it reports."""
        workers, luck = self.options.workers, random.Random(number)
        plans = self.sweep.plans(params).values()
        for rung in range(self.sweep.last_rungs()[1] + 1):
            score = self.scores[number, rung] = _score(params, rung, luck.gauss(0, 1))
            missing = self.store.missing(stage for plan in plans for stage in plan.rungs[rung].values())
            if workers == 1:
                yield from self._alone(number, missing, score)
            elif missing:
                yield self._spend("starts", luck.uniform(*GROUP_SECONDS), workers)  # of a Ray Train run
                yield from self._together(number, missing, score)
            if (yield Report(rung, score)):
                return

    def _alone(self, number: int, stages: Sequence[Stage], score: float) -> Workers:
        """One worker computes stages one after the other; where others compute all that could be, it waits."""
        while missing := self.store.missing(stages):
            ready = [stage for stage in missing if set(missing).isdisjoint(stage.inputs.values())]
            stage = next((stage for stage in ready if stage not in self.doing), None)
            if stage is None:
                until = self.doing[ready[0]]
                yield self._spend("waits for another worker", max(until - self.clock.now, LOOK))
                continue
            with self.store.lease(stage, wait=False) as lease:
                lease.beat(0, 1)
                seconds = self.pace.seconds(stage, 1)
                self.busy += seconds
                self.doing[stage] = self.clock.now + seconds
                yield self._spend("computes", seconds)
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
                self._spend("computes", sum(seconds) / len(wave), each * len(wave))
                yield max(seconds)
                for stage, took in zip(wave, seconds, strict=True):
                    self._write(stage, number, score, took)

    def help(self, part: Part) -> Workers:
        """What a worker without a trial does."""
        yield self._spend("starts", START_SECONDS)
        yield from self._alone(part.number, self.store.missing([part.target]), self.scores[part.number, part.step])

    def _spend(self, kind: str, seconds: float, gpus: int = 1) -> float:
        self.timeline.note(kind, self.clock.now, self.clock.now + seconds, gpus)
        return seconds

    def longest_path(self) -> float:
        """Seconds of the longest path through a trial on as many GPUs as it can use, without Ray."""
        common, ends = set(self.sweep.common()), dict[Stage, float]()
        own = [stage for plan in self.sweep.corners()[0].values() for stage in plan.stages() if stage not in common]
        for wave in waves(own):
            for stage in wave:
                seconds = self.pace.seconds(stage, max(1, self.options.workers // len(wave)))
                ends[stage] = seconds + max((ends.get(needed, 0.0) for needed in stage.inputs.values()), default=0.0)
        return max(ends.values())
