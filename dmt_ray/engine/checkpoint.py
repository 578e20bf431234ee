"""Scratch checkpoints inside a stage: what a killed training goes on from, to the same bytes in the end."""

import json
import time
from pathlib import Path

import torch
from safetensors.torch import load, save_file
from torch import nn

from dmt_ray.engine.history import Row
from dmt_ray.engine.snapshot import BestSnapshot
from dmt_ray.engine.team import Team

FILE = "checkpoint.safetensors"


class Checkpoint:
    """Weights, momentum, history and step in one file that is replaced in one go.

    There is no generator state in it: all random numbers follow from (seed, epoch, sample) or the step.

    Args:
        folder: The stage's scratch folder.
        seconds: Least time between two checkpoints.
        network: All that is trained.
        optimizer: Its momentum is kept.
        history: The rows so far.
        best: The best snapshot so far, which is kept too.
    """

    def __init__(
        self,
        folder: Path,
        seconds: float,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        history: list[Row],
        best: BestSnapshot,
    ) -> None:
        self._file = folder / FILE
        self._network, self._optimizer, self._history, self._best = network, optimizer, history, best
        self._seconds = seconds
        self._last = time.monotonic()

    def is_due(self) -> bool:
        """Whether the last one is old enough for another."""
        return time.monotonic() - self._last >= self._seconds

    def save(self, step: int) -> None:
        """Write a checkpoint; to be called where a row of the history ends, by the chief of a team."""
        tensors = {f"model.{name}": value for name, value in self._network.state_dict().items()}
        for place, parameter in enumerate(self._optimizer.param_groups[0]["params"]):
            momentum = self._optimizer.state[parameter].get("momentum_buffer")
            if momentum is not None:
                tensors[f"momentum.{place}"] = momentum
        tensors |= {f"best.{name}": value for name, value in self._best.weights.items()}
        # Another process that was quicker with the same stage takes the scratch folder away.
        self._file.parent.mkdir(parents=True, exist_ok=True)
        draft = self._file.with_suffix(".draft")
        metadata = {"step": str(step), "history": json.dumps(self._history), "best": json.dumps(self._best.rows)}
        save_file({name: value.cpu().contiguous() for name, value in tensors.items()}, draft, metadata=metadata)
        draft.replace(self._file)
        self._last = time.monotonic()

    def restore(self, team: Team) -> int:
        """Load the chief's checkpoint, if there is one, and return the number of steps it stands for (else 0)."""
        # The other workers may be on machines that do not see the chief's folder.
        data = team.from_chief(self._file.read_bytes() if team.chief and self._file.exists() else b"")
        if not data:
            return 0
        tensors = load(data)
        metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
        self._network.load_state_dict(_part(tensors, "model."))
        parameters = self._optimizer.param_groups[0]["params"]
        for place, value in _part(tensors, "momentum.").items():
            parameter = parameters[int(place)]
            self._optimizer.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(value)
        self._best.weights = _part(tensors, "best.")
        self._best.rows = json.loads(metadata["best"])
        self._history[:] = json.loads(metadata["history"])
        return int(metadata["step"])


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
