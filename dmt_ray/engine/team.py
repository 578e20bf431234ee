"""The workers that perform one stage together: how they share images, add up sums and hand over results.

A stage has one global batch, whoever trains it: a worker takes every size-th row of it. A worker that is alone never
communicates, so that all of this is free where there is one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class Team:
    """Workers of one process group, seen by one of them."""

    rank: int = 0  # place of this worker; the chief, 0, writes the stage
    size: int = 1  # number of workers
    group: Any = None  # process group for tensors on the device (NCCL on GPUs); None where the worker is alone
    control: Any = None  # process group for tensors on the CPU (gloo)

    @property
    def chief(self) -> bool:
        """Whether this worker writes what the stage makes."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """This worker's part of what is done once by the whole team."""
        return items[self.rank :: self.size]

    def add(self, tensor: Tensor) -> Tensor:
        """The sum over the team, in place, the same bits on every worker; all have to call it."""
        if self.size > 1:
            dist.all_reduce(tensor, group=self._group_of(tensor))
        return tensor

    def rows(self, row: Tensor) -> Tensor:
        """The vectors of all workers, ``[size, n]``, by rank."""
        if self.size == 1:
            return row.unsqueeze(0)
        gathered = [torch.empty_like(row) for _ in range(self.size)]
        dist.all_gather(gathered, row, group=self._group_of(row))
        return torch.stack(gathered)

    def any(self, flag: bool) -> bool:
        """Whether it is true for at least one worker."""
        return flag if self.size == 1 else bool(self.add(torch.tensor(int(flag))))

    def from_chief(self, data: bytes) -> bytes:
        """The chief's bytes, on every worker."""
        if self.size == 1:
            return data
        length = self.add(torch.tensor(len(data) if self.chief else 0))
        received = torch.zeros(int(length), dtype=torch.uint8)
        if self.chief and data:
            received = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        dist.broadcast(received, group=self.control, group_src=0)
        return received.numpy().tobytes()

    def send_to_chief(self, array: NDArray[np.uint8]) -> None:
        """Hand bytes to the chief, which takes them with `take_from`, in the same order."""
        dist.send(torch.from_numpy(np.ascontiguousarray(array)), group=self.control, group_dst=0)

    def take_from(self, rank: int, array: NDArray[np.uint8]) -> None:
        """Fill an array with what a worker has sent."""
        received = torch.empty(array.shape, dtype=torch.uint8)
        dist.recv(received, group=self.control, group_src=rank)
        array[...] = received.numpy()

    def _group_of(self, tensor: Tensor) -> Any:
        return self.control if tensor.device.type == "cpu" else self.group


ALONE = Team()
