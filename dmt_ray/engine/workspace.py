"""Where a stage is performed: data, device, folders, and what follows its progress."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from dmt_ray.config import IMAGENET, Normalisation
from dmt_ray.data import Dataset
from dmt_ray.engine.team import ALONE, Team
from dmt_ray.engine.transfer import upload
from dmt_ray.plan.amounts import EVAL_BATCH


@dataclass(frozen=True)
class Workspace:
    """All that a stage needs beside its settings; of it only the seed and the inputs change a result."""

    dataset: Dataset
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    seed: int = 0  # of the experiment
    inputs: Mapping[str, Path] = field(default_factory=dict)  # folders of the stages that this one goes on from
    out: Path = Path()  # the folder that the stage writes; of a team's other workers nothing is kept
    scratch: Path = Path()  # for what outlives an interruption
    progress: Callable[[int, int], None] = lambda step, steps: None  # called once a step or less often
    checkpoint_seconds: float = 60.0  # between two scratch checkpoints of a training
    eval_batch: int = EVAL_BATCH  # images in a forward pass of labelling and evaluation
    weights: Path = Path()  # folder for initial weights that were converted
    team: Team = ALONE  # the workers that perform the stage together
    stop: Callable[[], bool] = lambda: False  # whether to keep a checkpoint and raise `errors.Interrupted`
    compiled: bool = False  # whether networks in training go through torch.compile
    normalisation: Normalisation = IMAGENET

    def statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of the channels, float32 ``[C]`` on the device."""
        return on_device(self.normalisation, self.device)


def on_device(normalisation: Normalisation, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of the channels, float32 ``[C]``."""
    mean, std = upload([np.array((normalisation.mean, normalisation.std), np.float32)], device)
    return mean, std


def device_of(name: str) -> torch.device:
    """The device of that name; "auto" is a CUDA device if there is one, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)
