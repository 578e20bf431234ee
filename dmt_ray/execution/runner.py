"""Performs stages: subtracts the store from the targets, and calls the engine for the rest, in this process."""

import contextlib
import functools
import importlib
import logging
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmt_ray.config import Config, Data, Model, Split
from dmt_ray.data import (
    Dataset,
    channel_statistics,
    divide,
    list_digest,
    open_dataset,
    refuse_folder,
    unlabelled_classes,
)
from dmt_ray.errors import ConfigError, DataError, MissingStages, ModelError
from dmt_ray.execution.cost import Work
from dmt_ray.execution.external_check import check_external, open_external
from dmt_ray.execution.health import Watchdog
from dmt_ray.execution.interruption import deferred
from dmt_ray.execution.label_check import check_labels, check_scored
from dmt_ray.execution.network_notes import NetworkNotes
from dmt_ray.execution.training_checks import TrainingChecks, too_large_crops
from dmt_ray.plan import ImageCounts, Slice, Stage, TrainingSlice
from dmt_ray.plan.amounts import EVAL_BATCH
from dmt_ray.store import DamagedStage, Lease, Store
from dmt_ray.store.provenance import cpu, git, versions

if TYPE_CHECKING:
    from dmt_ray.engine.team import Team

# torch takes seconds to import: only what computes a stage, or looks at a network for the first time, imports it.

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
    eval_batch: int | None = None  # images in a forward pass of labelling and scoring; None: EVAL_BATCH
    deterministic: bool = False  # whether only algorithms are allowed that give the same bits each time
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
        self.notes = NetworkNotes(machine.store)
        self.on_progress = on_progress
        self.work = Work(self.work_of)
        self._checks = TrainingChecks(self.notes, self.dataset, self._counts)
        self._warned: set[str] = set()
        self._known: dict[tuple[Data, Split], ImageCounts] = {}

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
        """Fill in what identifies data and weights, and check that the data can be divided for these seeds.

        What is worth a warning about the data is logged, once.

        Raises:
            ConfigError: If there is no such device.
            DataError: If the data are not as their layout promises, cannot be divided by the split, or lie in no folder
                though one is given.
            ModelError: If a file of weights cannot be read.
        """
        device_check(self.machine.device)
        refuse_folder(config.data, self.machine.data)
        dataset = self.dataset(config.data)
        check_scored(config.scored, dataset)
        external, masks = open_external(config, dataset, self.machine.store / "data")
        bound = config.evolve(
            data=bound_data(config.data, dataset),
            split=config.split.evolve(list_digest=list_digest(config.split, dataset)),
            model=self._bind_model(config.model, dataset),
            model_b=config.model_b and self._bind_model(config.model_b, dataset),
            external=external,
        )
        for seed in seeds:
            parts = divide(bound.split.for_seed(seed), bound.data, dataset)
            check_labels(parts, dataset)
            if missing := unlabelled_classes(parts, dataset):
                self._warn(f"split {parts.name}: no labelled image contains the classes {', '.join(missing)}")
            for sentence in check_external(masks, parts) if masks is not None else ():
                self._warn(sentence)
        for remark in dataset.remarks:
            self._warn(f"{config.data.name}: {remark}")
        return bound

    def _warn(self, sentence: str) -> None:
        if sentence not in self._warned:
            self._warned.add(sentence)
            log.warning("%s", sentence)

    def check(self, stages: Iterable[Stage]) -> None:
        """Check everything that can be checked of some stages before work starts: of the trainings that are among
        them, and of no others. Crops that no image fills are a warning.

        Raises:
            DataError: If a training has no images.
            ModelError: See `check_networks`; or a network cannot train on a batch of one image, and would get one.
        """
        trainings = [(stage, stage.config) for stage in stages if isinstance(stage.config, TrainingSlice)]
        for stage, config in trainings:
            if self.work(stage) == 0:
                raise DataError(f"{stage.operation.name} ({config}) would see no images: label more")
        self.check_networks(stage for stage, _ in trainings)
        for stage, config in trainings:
            self._checks.check_batches(stage, config)
            for sentence in too_large_crops([config.training], self.dataset(config.data)):
                self._warn(sentence)

    def check_networks(self, stages: Iterable[Stage]) -> None:
        """Check the networks of the trainings among some stages; see `TrainingChecks.check_networks`."""
        self._checks.check_networks(stages)

    def _bind_model(self, model: Model, dataset: Dataset) -> Model:
        """Fill in the channels of its images, the digest of its weights, and how whole images are padded.

        Raises:
            ModelError: If the weights cannot be read or are not here, or two are named. A random encoder that is never
                trained is a warning.
        """
        model, classes = model.evolve(channels=dataset.channels), len(dataset.classes)
        if model.weights_file is not None and model.encoder_weights is not None:
            raise ModelError(
                f"model.weights_file and model.encoder_weights ({model.encoder_weights}) both set the initial "
                "weights; set one of them to null"
            )
        if model.weights_file is not None or model.encoder_weights is not None:
            from dmt_ray import models

            if model.weights_file is not None:
                model = model.evolve(weights_digest=models.digest(Path(model.weights_file)))
            # What the hub holds goes by its name, as ever; its digest stands in the record.
            elif (first := models.first_weights(model, self._weights)) and first.packaged:
                model = model.evolve(weights_digest=first.digest)
        elif model.frozen:
            self._warn("model.frozen: the encoder would keep its random weights; set model.encoder_weights")
        padding = self.notes.padding(model, classes)
        if padding is None:
            from dmt_ray.execution.network_check import padding_of

            try:
                padding = padding_of(model, classes) or ()
            except ModelError:  # an error of `check`, if the network is used
                return model
            self.notes.note_padding(model, classes, padding)
        return model.evolve(padding=tuple(padding) or None)

    def work_of(self, stage: Stage) -> int:
        """Optimizer steps of a training, summed over its models; else the images that a stage goes over."""
        return stage.config.work(self._counts(stage))

    def _counts(self, stage: Stage) -> ImageCounts:
        data, split = stage.config.data, stage.config.split
        if (data, split) in self._known:  # to divide the images of a large set takes a while
            return self._known[data, split]
        dataset = self.dataset(data)
        parts = divide(split, data, dataset)
        known = int(dataset.subsets["train"].known[list(parts.unlabelled)].sum())
        evaluated = len(parts.selection[1]) + len(parts.reported[1])
        counts = ImageCounts(len(parts.labelled), len(parts.unlabelled), known, evaluated)
        return self._known.setdefault((data, split), counts)

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
                with self._leased(missing) as (stage, lease):
                    if not lease.held:
                        continue
                    if begun is not None:
                        begun(stage)
                    self.compute(stage, lease.beat)
                executed.append(stage)
                if done is not None:
                    done(stage)
        return executed

    @contextlib.contextmanager
    def _leased(self, missing: Sequence[Stage]) -> Iterator[tuple[Stage, Lease]]:
        """The first stage that can be computed now and that nobody else computes.

        Where others compute all that can be, wait for the first: then its lease is not held.
        """
        absent = set(missing)
        ready = [stage for stage in missing if absent.isdisjoint(stage.inputs.values())]
        for stage, wait in [*((stage, False) for stage in ready), (ready[0], True)]:
            with self.store.lease(stage, wait=wait) as lease:
                if lease.held or wait:
                    yield stage, lease
                    return

    def compute(self, stage: Stage, beat: Callable[[int, int], None], team: "Team | None" = None) -> None:
        """Compute a stage, whose inputs are in the store, whether it is there or not; the team's chief writes it.

        Args:
            stage: The stage; somebody holds the lease on it.
            beat: Called with steps done and steps in all.
            team: The workers that compute it together; each of them calls this. None: this process alone.

        Raises:
            UserError: If it cannot be computed, such as MissingStages if an input is not there.
            Interrupted: If the process was sent SIGTERM; the stage's checkpoint is kept.
        """
        from dmt_ray.engine.team import ALONE

        team = team or ALONE
        self.dataset(stage.config.data)  # decoding for the first time reports no progress
        # Everything else is watched, since reading inputs from a file system can hang as well.
        limit = self.machine.stall_seconds
        dog = Watchdog(limit, stage.name, self.store.scratch(stage)) if limit else None

        def progress(step: int, total: int) -> None:
            if dog is not None:
                dog.alive(f"step {step:,} of {total:,}")
            if team.chief:
                beat(step, total)
                if self.on_progress is not None:
                    self.on_progress(stage, step, total)

        with dog or contextlib.nullcontext(), deferred() as stop:
            self._compute(stage, progress, team, stop)

    def _compute(
        self, stage: Stage, progress: Callable[[int, int], None], team: "Team", stop: Callable[[], bool]
    ) -> None:
        import torch

        from dmt_ray.engine.workspace import Workspace, device_of
        from dmt_ray.execution.gpu import deterministic, gpu_errors

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
            normalisation=stage.config.data.normalisation,
            eval_batch=self.machine.eval_batch or EVAL_BATCH,
        )
        if not team.chief:
            with gpu_errors(work), deterministic(self.machine.deterministic):
                perform(stage.config, work)
            return
        made: dict[str, Any] = {
            "host": platform.node(),
            "device": device_name(str(work.device)),
            "cpu": cpu(),
            "threads": torch.get_num_threads(),
            "workers": team.size,
            "eval_batch": work.eval_batch,
            "deterministic": self.machine.deterministic,
            "compiled": self.machine.compiled,
            "versions": versions(),
            "git": git(),
        }
        from dmt_ray import models

        if (new := stage.config.new_model()) and (first := models.first_weights(new, self._weights)):
            made["first_weights"] = first.about()
        began = time.perf_counter()
        with self.store.write(stage, made) as out, gpu_errors(work), deterministic(self.machine.deterministic):
            made["steps"] = perform(stage.config, replace(work, out=out))
            made["seconds"] = round(time.perf_counter() - began, 3)


_opened = functools.lru_cache(maxsize=4)(open_dataset)


def bound_data(data: Data, dataset: Dataset) -> Data:
    """The settings of a data set with its fingerprint and, where they are needed, the statistics of its channels."""
    if data.normalised == "data" and data.statistics is None:
        data = data.evolve(statistics=channel_statistics(dataset))
    return data.evolve(fingerprint=dataset.fingerprint)


def device_check(device: str) -> None:
    """Check that a device exists.

    Raises:
        ConfigError: If it does not, with those that do.
    """
    if device in ("auto", "cpu"):
        return
    import torch

    from dmt_ray.engine.workspace import device_of

    try:
        torch.empty(0, device=device_of(device))
    except (RuntimeError, AssertionError):
        devices = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        raise ConfigError(f"there is no device {device!r} here; available: {', '.join(devices)}") from None


def _check_precision(config: Slice, device: str) -> None:
    if not isinstance(config, TrainingSlice) or config.training.precision != "float16":
        return
    from dmt_ray.engine.workspace import device_of

    if (kind := device_of(device).type) != "cuda":
        raise ConfigError(f"precision 'float16' is for GPUs, but the device is {kind!r}; use 'bfloat16' or 'float32'")


def device_name(device: str) -> str:
    """A device by its name, as records have it."""
    import torch

    return torch.cuda.get_device_name(device) if device.startswith("cuda") else f"cpu ({os.cpu_count()} cores)"
