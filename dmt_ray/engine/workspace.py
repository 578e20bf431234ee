"""Where a stage is performed: data, device, folders, and what follows its progress."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from dmt_ray.data import Dataset
from dmt_ray.engine.team import ALONE, Team

# Of ImageNet, for images in [0, 1]: the statistics that the field's pre-trained encoders expect.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Workspace:
    """All that a stage needs beside its settings; of it only the seed and the inputs change a result.

    Attributes:
        dataset: The opened data.
        device: Where the network runs.
        seed: Of the experiment.
        inputs: The folders of the stages that this one goes on from, by name.
        out: The folder that the stage writes; of a team's other workers nothing is kept.
        scratch: A folder for what outlives an interruption.
        progress: Called with (steps done, steps in all), once a step or less often.
        checkpoint_seconds: Time between two scratch checkpoints of a training.
        eval_batch: Images in a forward pass of labelling and evaluation.
        team: The workers that perform the stage together.
        stop: Called now and then: whether to keep a checkpoint and raise `errors.Interrupted`.
        compiled: Whether networks in training go through torch.compile.
    """

    dataset: Dataset
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    seed: int = 0
    inputs: Mapping[str, Path] = field(default_factory=dict)
    out: Path = Path()
    scratch: Path = Path()
    progress: Callable[[int, int], None] = lambda step, steps: None
    checkpoint_seconds: float = 60.0
    eval_batch: int = 16
    team: Team = ALONE
    stop: Callable[[], bool] = lambda: False
    compiled: bool = False

    def statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of the channels, float32 ``[3]`` on the device."""
        return torch.tensor(MEAN, device=self.device), torch.tensor(STD, device=self.device)


def device_of(name: str) -> torch.device:
    """The device of that name; "auto" is a CUDA device if there is one, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)
