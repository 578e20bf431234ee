"""A CUDA device without a GPU: its tensors say that they are on `cuda:0`, and hold values on the CPU.

The whole engine runs on it, takes all its branches for GPUs, and computes what the CPU computes. What a GPU would not
forgive is an error here: tensors of both devices in one operation, and arguments that only CUDA's kernels refuse. And
whatever makes the host wait for a GPU is written down, with the place that asked for it.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import dmt_ray
from dmt_ray.engine.batch_loader import BatchLoader

CUDA = torch.device("cuda", 0)
# What C++ is told: it would ask CUDA's driver about a CUDA device, and gives this one to nobody else.
_FOR_CPP = torch.device("lazy", 0)
_PACKAGE = str(Path(dmt_ray.__file__).parent)
_aten = torch.ops.aten
# They look at values to know the size of their result, or give the host a value.
_READS = {"nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "bincount", "equal", "is_nonzero"}
_READS |= {"_local_scalar_dense", "repeat_interleave"}
_COPIES = {"_to_copy", "copy_", "_copy_from", "to"}
_INDEXING = {"index", "index_put_", "index_put", "_index_put_impl_", "_unsafe_index"}
# What CUDA does with 16-bit unsigned integers; for all else it has no kernel.
_OF_UINT16 = _COPIES | {"detach", "alias", "view", "_unsafe_view", "_reshape_alias", "reshape", "flatten", "slice"}
_OF_UINT16 |= {"select", "squeeze", "unsqueeze", "expand", "clone", "contiguous", "empty_like", "empty", "zeros"}
_OF_UINT16 |= {"lift_fresh", "new_empty", "new_empty_strided", "empty_strided"}
# Arguments that a CPU can do without: CUDA's kernel wants the saved statistics to be tensors, of whatever size.
_NEVER_NONE = {"native_batch_norm_backward": (5, 6)}


class PretendedCuda:
    """What was seen on the device.

    Attributes:
        waits: What made the host wait -> how often: "_to_copy in engine/label.py:117".
        uploads: Copies to the device.
        synchronised: How often it waited for an event instead, for all that was requested before.
        dtypes: Types of all tensors that were there.
    """

    def __init__(self) -> None:
        self.waits: Counter[str] = Counter()
        self.uploads = 0
        self.synchronised = 0
        self.dtypes: set[str] = set()

    def clear(self) -> None:
        """Forget what was seen."""
        self.waits.clear()
        self.synchronised = 0
        self.dtypes.clear()
        self.uploads = 0

    def _wait(self, name: str) -> None:
        frame = sys._getframe()
        while frame is not None and not frame.f_code.co_filename.startswith(_PACKAGE):
            frame = frame.f_back  # type: ignore[assignment]
        place = "the test" if frame is None else f"{frame.f_code.co_filename[len(_PACKAGE) + 1 :]}:{frame.f_lineno}"
        self.waits[f"{name} in {place}"] += 1


_seen: PretendedCuda | None = None


class _OnDevice(Tensor):
    """Wraps a tensor on the CPU."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, value: Tensor) -> "_OnDevice":
        # Python is told CUDA, and autograd and autocast take CUDA's way.
        return torch.Tensor._make_wrapper_subclass(
            cls,
            value.shape,
            strides=value.stride(),
            storage_offset=value.storage_offset(),
            dtype=value.dtype,
            device=CUDA,
            dispatch_device=True,
        )

    def __init__(self, value: Tensor) -> None:
        self.value = value

    @property
    def device(self) -> torch.device:
        return CUDA

    @property
    def is_cuda(self) -> bool:
        return True

    def record_stream(self, stream: Any) -> None:
        """There is one stream."""

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _call(func, args, kwargs or {})


def _call(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    if func is torch.ops.prim.device.default:
        return _FOR_CPP
    assert _seen is not None, "a tensor of the pretended device has outlived it"
    name = func._schema.name.split("::")[-1]
    tensors: list[Tensor] = []
    on_cpu = {key: _unwrapped(value, tensors) for key, value in kwargs.items()}
    values = [_unwrapped(value, tensors) for value in args]
    ours = [tensor for tensor in tensors if isinstance(tensor, _OnDevice)]
    asked, pinned = kwargs.get("device"), kwargs.get("pin_memory")
    if asked is not None and torch.device(asked).type in ("cuda", "lazy"):
        on_cpu["device"] = torch.device("cpu")
    if pinned:
        on_cpu["pin_memory"] = False
    ends_here = bool(ours) if asked is None else torch.device(asked).type in ("cuda", "lazy")
    if ours or ends_here:
        _seen.dtypes.update(str(tensor.dtype).removeprefix("torch.") for tensor in ours)
        _refuse(name, func, args, tensors, ours)
        _note_waits(name, args, kwargs, ends_here)
    result = func(*values, **on_cpu)
    if pinned:
        result.is_pretended_pinned = True
    if not ends_here or name == "_local_scalar_dense":
        return result
    # In inference mode a view of a tensor from outside stays a tensor from outside.
    outside = func.is_view and not any(tensor.is_inference() for tensor in ours)
    with torch.inference_mode(torch.is_inference_mode_enabled() and not outside):
        return _wrapped(result, ours)


def _unwrapped(value: Any, tensors: list[Tensor]) -> Any:
    """An argument as the CPU takes it; its tensors are added to a list as they are."""
    if isinstance(value, (list, tuple)):
        return [_unwrapped(part, tensors) for part in value]
    if isinstance(value, Tensor):
        tensors.append(value)
    return value.value if isinstance(value, _OnDevice) else value


def _wrapped(value: Any, ours: list[Any]) -> Any:
    """A result on the device; what was changed in place is itself again."""
    if isinstance(value, (list, tuple)):
        return type(value)(_wrapped(part, ours) for part in value)
    if not isinstance(value, Tensor):
        return value
    for tensor in ours:
        if tensor.value is value:
            return tensor
    return _OnDevice(value)


def _refuse(name: str, func: Any, args: Any, tensors: list[Tensor], ours: list[Any]) -> None:
    """Raise RuntimeError for what CUDA refuses and a CPU takes."""
    strangers = [tensor for tensor in tensors if not isinstance(tensor, _OnDevice) and tensor.dim()]
    if ours and strangers and name not in _COPIES | _INDEXING:
        raise RuntimeError(f"{name}: expected all tensors to be on the same device, but found cuda:0 and cpu")
    for place in _NEVER_NONE.get(name, ()):
        if args[place] is None:
            raise RuntimeError(f"{name}: CUDA wants argument {place}, {func._schema.arguments[place].name}, not None")
    if name not in _OF_UINT16 and any(tensor.dtype == torch.uint16 for tensor in ours):
        raise RuntimeError(f"\"{name}\" not implemented for 'UInt16'")


def _note_waits(name: str, args: Any, kwargs: dict[str, Any], ends_here: bool) -> None:
    assert _seen is not None
    if name in _COPIES:
        source = args[1] if name == "copy_" else args[0]
        there = args[0] if name == "copy_" else None
        stays = ends_here if there is None else isinstance(there, _OnDevice)
        downwards = isinstance(source, _OnDevice) and not stays
        upwards = not isinstance(source, _OnDevice) and ends_here
        _seen.uploads += upwards and source.dim() > 0
        lands_pinned = upwards or _is_pinned(there)
        starts_pinned = downwards or _is_pinned(source)
        asked = kwargs.get("non_blocking") or (name == "copy_" and len(args) > 2 and args[2])
        if (upwards or downwards) and not (asked and lands_pinned and starts_pinned):
            _seen._wait(name)
    elif name in _READS:
        _seen._wait(name)
    elif name in _INDEXING:
        indices = [index for index in args[1] if index is not None]
        if any(not isinstance(index, _OnDevice) for index in indices):
            _seen.uploads += 1
            _seen._wait(f"{name} with indices of the host")
        elif any(index.dtype in (torch.bool, torch.uint8) for index in indices):
            _seen._wait(f"{name} with a mask")


def _is_pinned(tensor: Tensor | None) -> bool:
    return hasattr(tensor, "is_pretended_pinned")


class _Dispatch(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _call(func, args, kwargs or {})


class _Function(TorchFunctionMode):
    """Where C++ would ask CUDA for the number of the device, or knows no subclass."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is Tensor.tolist and isinstance(args[0], _OnDevice):
            return args[0].cpu().tolist()
        if func is Tensor.cuda:
            return args[0].to(CUDA)
        args, kwargs = tuple(map(_numbered, args)), {name: _numbered(value) for name, value in kwargs.items()}
        if func is Tensor.__getitem__ and isinstance(args[0], _OnDevice):
            # C++ would make an index of a list where the tensor is.
            args = args[0], _with_tensors(args[1])
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") == CUDA:
            return func(*args, **kwargs | {"device": None}).to(CUDA)
        if func in _IN_HALF and torch.is_autocast_enabled("cuda"):
            # C++ casts what it takes to be on CUDA, and is told otherwise.
            half = torch.get_autocast_dtype("cuda")
            args = [_halved(value, half) for value in args]
            kwargs = {name: _halved(value, half) for name, value in kwargs.items()}
        return func(*args, **kwargs)


# Of what autocast performs in half precision that which networks here are made of.
_IN_HALF = (torch.conv2d, torch.conv_transpose2d, torch.nn.functional.linear, torch.matmul, torch.bmm)


def _halved(value: Any, half: torch.dtype) -> Any:
    return value.to(half) if isinstance(value, Tensor) and value.dtype == torch.float32 else value


def _numbered(value: Any) -> Any:
    if isinstance(value, str):
        return CUDA if value == "cuda" else value
    return CUDA if isinstance(value, torch.device) and value.type == "cuda" else value


def _with_tensors(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(_with_tensors(part) for part in index)
    return torch.tensor(index, dtype=torch.int64) if isinstance(index, list) else index


class _Stream:
    """Computes at once, so that nothing has to wait for it."""

    def __init__(self, device: Any = None) -> None:
        self.device = device

    def wait_event(self, event: "_Event") -> None:
        """Needs no wait."""

    def record_event(self) -> "_Event":
        """An event that has happened."""
        return _Event()


class _Event:
    def synchronize(self) -> None:
        """Has happened."""
        assert _seen is not None
        _seen.synchronised += 1


@contextmanager
def _modes() -> Iterator[None]:
    with _Dispatch(), _Function():
        yield


def seen() -> PretendedCuda | None:
    """What was seen on the device, where there is one now."""
    return _seen


@contextmanager
def pretended_cuda() -> Iterator[PretendedCuda]:
    """Inside, there is a device "cuda"; what was seen on it."""
    global _seen
    step: Callable[..., Any] = BatchLoader.step

    def in_any_thread(loader: BatchLoader, number: int) -> Any:
        with _modes():  # they are a thread's own, and batches are prepared in another one
            return step(loader, number)

    of_cuda = {
        "_lazy_init": lambda: None,
        "Stream": _Stream,
        "stream": lambda stream: nullcontext(),
        "current_stream": lambda device=None: _Stream(),
        "get_device_name": lambda device=None: "no GPU",
        "is_available": lambda: True,
        "is_bf16_supported": lambda including_emulation=True: True,
    }
    patches = [mock.patch.object(torch.cuda, name, value) for name, value in of_cuda.items()]
    _seen = PretendedCuda()
    torch.__future__.set_overwrite_module_params_on_conversion(True)  # a parameter on the CPU cannot become one of ours
    try:
        with mock.patch.object(BatchLoader, "step", in_any_thread), _all(patches), _modes():
            yield _seen
    finally:
        _seen = None
        torch.__future__.set_overwrite_module_params_on_conversion(False)


@contextmanager
def _all(patches: list[Any]) -> Iterator[None]:
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()
