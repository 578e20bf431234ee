"""Computes recorded stages again, beside the store that has them: it is read, and nothing is written into it."""

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from dmt_ray.data import refuse_folder
from dmt_ray.errors import DataError, ModelError
from dmt_ray.execution.runner import Machine, Runner
from dmt_ray.plan import Stage
from dmt_ray.plan.amounts import EVAL_BATCH
from dmt_ray.store import Record, Store, files
from dmt_ray.store.provenance import cpu, git, versions


class Overlay(Store):
    """A store of its own that reads what it lacks from another one.

    Args:
        folder: Where it is or is to be.
        below: Folder of the other one; None: there is none.
    """

    def __init__(self, folder: Path, below: Path | None) -> None:
        super().__init__(folder)
        self.below = None if below is None else Store(below)

    def open(self, stage: Stage, *, files: bool = False) -> Path:
        """As of any store; what is here goes before what is below."""
        if self.below is None or self.has(stage, files=files):
            return super().open(stage, files=files)
        return self.below.open(stage, files=files)

    def readable(self, stage: Stage) -> bool:
        """Whether all files of a stage are here or below."""
        return self.has(stage, files=True) or (self.below is not None and self.below.has(stage, files=True))

    def chain(self, stage: Stage) -> list[Stage]:
        """What has to be computed to have a stage here: inputs that cannot be read, and last the stage itself."""
        return needed_for(stage, self.readable)

    def digest(self, stage: Stage) -> str:
        """Digest of a stage as it would be read by what needs it."""
        if self.below is None or self.has(stage, files=True):
            return self.record(stage).digest
        return self.below.record(stage).digest

    def drop(self, stage: Stage) -> None:
        """Remove a stage that is here, if everything of it is below, too."""
        if self.below is not None and self.below.has(stage, files=True):
            files.remove(self.path(stage))


def needed_for(stage: Stage, is_there: Callable[[Stage], bool]) -> list[Stage]:
    """A stage and those of its inputs that are not there, and so on down; inputs first."""
    needed: dict[Stage, None] = {}

    def visit(current: Stage) -> None:
        if current not in needed:
            for below in current.inputs.values():
                if not is_there(below):
                    visit(below)
            needed[current] = None

    visit(stage)
    return list(needed)


@dataclass(frozen=True)
class _Machine(Machine):
    below: Path | None = None

    def open_store(self) -> Overlay:
        return Overlay(self.store, self.below)


class Recomputer:
    """Computes stages again as their records say that they were made.

    Args:
        folder: Its own store, and decoded images.
        below: Folder of the store that has the stages; None: every stage is computed from nothing.
        data: Folder of the data set; None: below the variable DMT_DATA.
        device: "auto" is the kind of device that the record of a stage names, where there is one here.
        on_progress: Called with a stage, its steps done and its steps in all.
    """

    def __init__(
        self,
        folder: Path,
        below: Path | None,
        data: Path | None,
        device: str,
        on_progress: Callable[[Stage, int, int], None],
    ) -> None:
        self._machine = _Machine(folder, data, device, below=below)
        self._data, self._on_progress = data, on_progress
        self._runners: dict[Machine, Runner] = {}
        self.store = self._machine.open_store()

    def check(self, stages: Mapping[Stage, Record]) -> None:
        """Check that data and files of weights are those that the stages were made of.

        Raises:
            DataError: If the data are missing, or are others.
            ModelError: If a file of weights is.
        """
        runner = self._runner(self._machine)
        for data in {stage.config.data.model_dump_json(): stage.config.data for stage in stages}.values():
            refuse_folder(data, self._data)
            runner.dataset(data)
        networks = {model.model_dump_json(): model for stage in stages if (model := stage.config.new_model())}
        for model in networks.values():
            from dmt_ray import models

            models.first_weights(model, self._machine.store / "weights")
            if model.weights_file is not None and models.digest(Path(model.weights_file)) != model.weights_digest:
                raise ModelError(f"{model.weights_file} holds other weights than the stages were made of: restore them")
        for masks in {external.masks for stage in stages if (external := getattr(stage.config, "external", None))}:
            if not Path(masks).is_dir():
                raise DataError(f"there is no folder {masks} with the masks from elsewhere: restore it")

    def here(self, record: Record) -> dict[str, Any]:
        """What this machine is, for the stage of a record: as in `Record.made`."""
        from dmt_ray.execution.runner import device_name

        device = device_name(self._device(record))
        return {"host": platform.node(), "device": device, "cpu": cpu(), "versions": versions(), "git": git()}

    def compute(self, stage: Stage, record: Record) -> tuple[Path, float]:
        """Compute a stage whose inputs can be read, and return its folder and the seconds that it took.

        Raises:
            UserError: If it cannot be computed.
        """
        made = record.made
        machine = replace(
            self._machine,
            device=self._device(record),
            threads=int(made.get("threads", 1)),
            eval_batch=int(made.get("eval_batch", EVAL_BATCH)),
            deterministic=bool(made.get("deterministic", False)),
        )
        self._runner(machine).compute(stage, lambda step, steps: None)
        return self.store.path(stage), float(self.store.record(stage).made["seconds"])

    def _device(self, record: Record) -> str:
        if self._machine.device != "auto":
            return self._machine.device
        on_cpu = str(record.made.get("device", "cpu")).startswith("cpu")
        return "cpu" if on_cpu or not self._has_gpu else "cuda"

    @cached_property
    def _has_gpu(self) -> bool:
        import torch

        return torch.cuda.is_available()

    def _runner(self, machine: Machine) -> Runner:
        if machine not in self._runners:
            self._runners[machine] = Runner(machine, self._on_progress)
        return self._runners[machine]
