"""Where a stage is performed: the data, the device, and somebody to tell how far it is."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from dmt_ray.data import Dataset
from dmt_ray.engine.team import ALONE, Team

# Of ImageNet, for images in [0, 1]: the statistics that the field's pre-trained encoders expect.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def _silent(step: int, steps: int) -> None:
    """Tell nobody."""


def _never() -> bool:
    """Go on to the end."""
    return False


@dataclass(frozen=True)
class Workspace:
    """All that a stage needs beside its settings and inputs; nothing here changes a result.

    Attributes:
        dataset: The opened data.
        device: Where the network runs.
        progress: Called with (steps done, steps in all), once a step or less often.
        checkpoint_seconds: Time between two scratch checkpoints of a training.
        eval_batch: Images in a forward pass of labelling and evaluation.
        team: The workers that perform the stage together.
        stop: Asked now and then: whether to keep a checkpoint and raise `errors.Interrupted`.
        compiled: Whether networks in training go through torch.compile.
    """

    dataset: Dataset
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    progress: Callable[[int, int], None] = _silent
    checkpoint_seconds: float = 60.0
    eval_batch: int = 16
    team: Team = ALONE
    stop: Callable[[], bool] = _never
    compiled: bool = False

    def statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of the channels, float32 ``[3]`` on the device."""
        return torch.tensor(MEAN, device=self.device), torch.tensor(STD, device=self.device)


def device_of(name: str) -> torch.device:
    """The device of that name; "auto" is a CUDA device if there is one, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)
