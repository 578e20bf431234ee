"""Performs stages: subtracts the store from the targets, and calls the engine for the rest, in this process."""

import contextlib
import functools
import importlib
import logging
import os
import platform
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dmt_ray import models
from dmt_ray.config import Config, Data, Model, Task, Training
from dmt_ray.data import Dataset, divide, dms_half, list_digest, open_dataset
from dmt_ray.engine.team import ALONE, Team
from dmt_ray.engine.workspace import Workspace, device_of
from dmt_ray.errors import ConfigError, MissingStages, ModelError
from dmt_ray.execution.health import Watchdog
from dmt_ray.execution.interruption import deferred
from dmt_ray.plan import ImageCounts, Slice, Stage, TrainingSlice
from dmt_ray.store import DamagedStage, Store
from dmt_ray.store.provenance import git, versions

log = logging.getLogger(__name__)

Progress = Callable[[Stage, int, int], None]
Notice = Callable[[Stage], None]


@dataclass(frozen=True)
class Machine:
    """Where and on what stages are performed. Nothing here changes a result beyond floating-point sums."""

    store: Path  # folder of the store
    data: Path | None = None  # folder of the data set; None: below the environment variable DMT_DATA
    device: str = "auto"  # "auto", "cpu", "cuda" or "cuda:1"
    threads: int = 1  # CPU threads of one process
    shared: str | None = None  # URL of an object store that machines share; None: `store` is all there is
    compiled: bool = False  # whether networks in training go through torch.compile
    # A process whose stage gets no further for so long is taken to hang, and ended; None: people watch it themselves.
    stall_seconds: float | None = None

    def open_store(self) -> Store:
        """The store; see `store.Store` for the errors."""
        return Store(self.store, self.shared)


class Runner:
    """Performs stages one after the other in this process.

    Args:
        machine: Where and on what.
        on_progress: Called with a stage, its steps done and its steps in all.
    """

    def __init__(self, machine: Machine, on_progress: Progress | None = None) -> None:
        self.machine = machine
        self.store = machine.open_store()
        self.on_progress = on_progress

    def dataset(self, data: Data) -> Dataset:
        """The opened data set; decoded on first use, then shared by all runners of this process.

        Raises:
            DataError: If files are missing or broken (see `data.open_dataset`).
        """
        return _opened(data, self.machine.data, self.machine.store / "data")

    @property
    def _weights(self) -> Path:
        return self.machine.store / "weights"

    def bind(self, config: Config, seeds: Iterable[int] = (0,)) -> Config:
        """Check everything that can be checked before work starts, and fill in what identifies data and weights.

        Raises:
            DataError: If the data are not as their layout promises, or cannot be divided by the split.
            ModelError: If a network cannot be built, or cannot take crops of the size that training uses.
        """
        device_check(self.machine.device)
        dataset = self.dataset(config.data)
        bound = config.evolve(
            data=config.data.evolve(fingerprint=dataset.fingerprint),
            split=config.split.evolve(list_digest=list_digest(config.split, dataset)),
            model=bind_model(config.model, self._weights),
            model_b=config.model_b and bind_model(config.model_b, self._weights),
        )
        for seed in seeds:
            parts = divide(bound.split.for_seed(seed), bound.data, dataset)
            dms_half(parts.labelled, bound.dms_alpha, "A")
        for model in (bound.model, bound.model_b):
            if model is not None:
                check_model(model, len(dataset.classes), bound.trainings().values(), bound.data.task)
        return bound

    def work_of(self, stage: Stage) -> int:
        """Optimizer steps of a training, summed over its models; else the images that a stage goes over."""
        data, split = stage.config.data, stage.config.split
        dataset = self.dataset(data)
        parts = divide(split, data, dataset)
        known = int(dataset.subsets["train"].known[list(parts.unlabelled)].sum())
        evaluated = len(parts.selection[1]) + len(parts.reported[1])
        return stage.config.work(ImageCounts(len(parts.labelled), len(parts.unlabelled), known, evaluated))

    def perform(self, targets: Iterable[Stage], begun: Notice | None = None, done: Notice | None = None) -> list[Stage]:
        """Compute what is missing of the targets and of all they need.

        Args:
            targets: Stages to have in the store at the end.
            begun: Called before a stage is computed.
            done: Called when a stage was computed and is there.

        Returns:
            The stages that this call computed itself; the others were in the store, or another process was quicker.

        Raises:
            UserError: If a stage cannot be computed. What was finished before stays in the store.
        """
        goal = list(targets)
        for stage in self.store.missing(goal):
            _check_precision(stage.config, self.machine.device)
        executed: list[Stage] = []
        while missing := self.store.missing(goal):
            # A damaged input is moved away when it is opened, an evicted one may go meanwhile: look again.
            with contextlib.suppress(DamagedStage, MissingStages):
                for stage in missing:
                    with self.store.lease(stage) as lease:
                        if not lease.held:
                            continue
                        if begun is not None:
                            begun(stage)
                        self.compute(stage, lease.beat)
                    executed.append(stage)
                    if done is not None:
                        done(stage)
        return executed

    def compute(self, stage: Stage, beat: Callable[[int, int], None], team: Team = ALONE) -> None:
        """Compute a stage, whose inputs are in the store, whether it is there or not; the team's chief writes it.

        Args:
            stage: The stage; somebody holds the lease on it.
            beat: Called with steps done and steps in all.
            team: The workers that compute it together; each of them calls this.

        Raises:
            UserError: If it cannot be computed, such as MissingStages if an input is not there.
            Interrupted: If the process was sent SIGTERM: what the stage goes on from is kept.
        """
        self.dataset(stage.config.data)  # decoding for the first time reports no progress
        # Everything else is watched, since reading inputs from a file system can hang as well.
        limit = self.machine.stall_seconds
        dog = Watchdog(limit, stage.name, self.store.scratch(stage)) if limit else None

        def progress(step: int, total: int) -> None:
            if dog is not None:
                dog.alive(f"step {step} of {total}")
            if team.chief:
                beat(step, total)
                if self.on_progress is not None:
                    self.on_progress(stage, step, total)

        with dog or contextlib.nullcontext(), deferred() as stop:
            self._compute(stage, progress, team, stop)

    def _compute(
        self, stage: Stage, progress: Callable[[int, int], None], team: Team, stop: Callable[[], bool]
    ) -> None:
        _check_precision(stage.config, self.machine.device)
        name = stage.operation.name
        perform: Callable[[Slice, Workspace], int] = getattr(importlib.import_module(f"dmt_ray.engine.{name}"), name)
        torch.set_num_threads(self.machine.threads)
        scratch = self.store.scratch(stage)
        work = Workspace(
            self.dataset(stage.config.data),
            device_of(self.machine.device),
            seed=stage.seed,
            inputs={name: self.store.open(needed, files=True) for name, needed in stage.inputs.items()},
            out=scratch,
            scratch=scratch,
            weights=self._weights,
            progress=progress,
            team=team,
            stop=stop,
            compiled=self.machine.compiled,
        )
        if not team.chief:
            perform(stage.config, work)
            return
        made: dict[str, Any] = {
            "host": platform.node(),
            "device": _device_name(work.device),
            "threads": torch.get_num_threads(),
            "workers": team.size,
            "versions": versions(),
            "git": git(),
        }
        if (new := stage.config.new_model()) and (first := models.first_weights(new, self._weights)):
            made["first_weights"] = first.about()
        began = time.perf_counter()
        with self.store.write(stage, made) as out:
            made["steps"] = perform(stage.config, replace(work, out=out))
            made["seconds"] = round(time.perf_counter() - began, 3)


_opened = functools.lru_cache(maxsize=4)(open_dataset)


def device_check(device: str) -> None:
    """Check that a device exists.

    Raises:
        ConfigError: If it does not, with those that do.
    """
    try:
        torch.empty(0, device=device_of(device))
    except (RuntimeError, AssertionError):
        devices = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        raise ConfigError(f"there is no device {device!r} here; there are: {', '.join(devices)}") from None


def bind_model(model: Model, cache: Path) -> Model:
    """Fill in the digest of the weights file or of the packaged weights, which is their identity.

    Raises:
        ModelError: If the weights cannot be read or are not here, or two are named. A random encoder that is never
            trained is a warning.
    """
    if model.weights_file is not None:
        if model.encoder_weights is not None:
            raise ModelError(
                f"model.weights_file and model.encoder_weights ({model.encoder_weights}) both name first weights; set "
                "one of them to null"
            )
        return model.evolve(weights_digest=models.digest(Path(model.weights_file)))
    if model.encoder_weights is None:
        if model.frozen:
            log.warning("model.frozen: the encoder's random weights are never trained; name model.encoder_weights")
        return model
    first = models.first_weights(model, cache)
    assert first is not None
    # What the hub holds goes by its name, as ever; its digest stands in the record.
    return model.evolve(weights_digest=first.digest) if first.packaged else model


def check_model(model: Model, classes: int, trainings: Iterable[Training], task: Task) -> None:
    """Build the network without memory, and push one crop of each training through it.

    Raises:
        ModelError: If it cannot be built, is for another task than the data, the weights do not fit, or it cannot take
            such crops.
    """
    if model.weights_file:
        models.build(model.evolve(encoder_weights=None), classes)
    trainings = list(trainings)
    with torch.device("meta"):
        network = models.build(model.evolve(weights_file=None, encoder_weights=None), classes)
        _check_task(model, task)
        _check_rates(model, network, trainings)
        for crop in sorted({training.augment.crop for training in trainings}):
            expected = (2, classes, *((1, 1) if task == "classification" else crop))
            try:
                shape = tuple(network(torch.empty(2, 3, *crop)).shape)
                reason = "" if shape == expected else f"its output has the shape {shape}, not {expected}"
            except (RuntimeError, ModelError) as error:
                reason = " ".join(str(error).split())
            if reason:
                raise ModelError(f"{model.architecture}/{model.encoder} cannot take crops of {crop}: {reason}")


def _check_precision(config: Slice, device: str) -> None:
    if isinstance(config, TrainingSlice) and config.training.precision == "float16":
        kind = device_of(device).type
        if kind != "cuda":
            raise ConfigError(
                f"precision 'float16' is for GPUs, but the device is {kind!r}; take 'bfloat16' or 'float32'"
            )


def _check_rates(model: Model, network: nn.Module, trainings: Iterable[Training]) -> None:
    if models.encoder_of(network) is None and any(one.encoder_rate != one.head_rate for one in trainings):
        raise ModelError(
            f"encoder_rate and head_rate are for a network on an encoder, but {model.architecture} has none; set the "
            "learning_rate alone"
        )


def _check_task(model: Model, task: Task) -> None:
    if models.task_of(model) == task:
        return
    fitting = [name for name in models.OURS if models.task_of(Model(architecture=name)) == task]
    others = " and what segmentation-models-pytorch builds, such as Unet" if task == "segmentation" else ""
    raise ModelError(
        f"{model.architecture} is for {models.task_of(model)}, but the data are for {task}; "
        f"for those there are {', '.join(fitting)}{others}"
    )


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu ({os.cpu_count()} cores)"
