"""Copies between host and device for which neither waits for the other: from and to pinned memory, in order."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

T = TypeVar("T")
Arrays = tuple[NDArray[Any], ...]


def upload(arrays: Sequence[NDArray[Any]], device: torch.device) -> Tensor:
    """Arrays of one dtype, joined along their first axis, on the device."""
    if device.type != "cuda":
        return torch.from_numpy(arrays[0] if len(arrays) == 1 else np.concatenate(arrays)).to(device)
    first = arrays[0]
    shape = (sum(len(array) for array in arrays), *first.shape[1:])
    # Joined where the copy starts from. Pinned memory is not used again before the copy is done.
    pinned = torch.empty(shape, dtype=torch.from_numpy(np.empty(0, first.dtype)).dtype, pin_memory=True)
    np.concatenate(arrays, out=pinned.numpy())
    return pinned.to(device, non_blocking=True)


def fetch(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors on the host, by name. The host waits for the device once, and not for each of them."""
    copies = dict[str, Tensor]()
    device: torch.device | None = None
    for name, tensor in tensors.items():
        if tensor.device.type != "cuda":
            copies[name] = tensor.detach()
            continue
        device = tensor.device
        copies[name] = torch.empty_like(tensor, device="cpu", pin_memory=True)
        copies[name].copy_(tensor.detach(), non_blocking=True)
    if device is not None:
        torch.cuda.current_stream(device).record_event().synchronize()
    return copies


def to_host(results: Iterable[tuple[T, tuple[Tensor, ...]]]) -> Iterator[tuple[T, Arrays]]:
    """Tensors as arrays on the host, each with what it came with, in the order given.

    From a GPU they come one turn late: the next result is under way before the host waits for one, so that the
    device computes while the host handles its last result.
    """
    waiting: tuple[T, tuple[Tensor, ...], torch.cuda.Event] | None = None
    for name, tensors in results:
        if tensors[0].device.type != "cuda":
            yield name, tuple(tensor.numpy() for tensor in tensors)
            continue
        copies = tuple(torch.empty_like(tensor, device="cpu", pin_memory=True) for tensor in tensors)
        for copy, tensor in zip(copies, tensors):
            copy.copy_(tensor, non_blocking=True)
        copied = torch.cuda.current_stream(tensors[0].device).record_event()
        if waiting is not None:
            yield _landed(*waiting)
        waiting = name, copies, copied
    if waiting is not None:
        yield _landed(*waiting)


def _landed(name: T, copies: tuple[Tensor, ...], copied: torch.cuda.Event) -> tuple[T, Arrays]:
    copied.synchronize()
    return name, tuple(copy.numpy() for copy in copies)
