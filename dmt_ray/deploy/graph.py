"""A network as a graph that runs without this project: ONNX, or pt2 of torch.export.

The graph takes float32 images ``[N, C, H, W]`` in ``[0, 1]``, RGB where C is 3; normalisation is in it. It returns
logits ``[N, K, H, W]``, in classification ``[N, K, 1, 1]``. A written file is compared with the network before it
counts.
"""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from dmt_ray import models
from dmt_ray.config import IMAGENET, Normalisation
from dmt_ray.deploy.fixed_padding import with_fixed_padding
from dmt_ray.deploy.model_info import ModelInfo
from dmt_ray.errors import ConfigError, ModelError
from dmt_ray.models import Padding

Format = Literal["onnx", "pt2"]
FORMATS: tuple[Format, ...] = ("onnx", "pt2")
BOUND = 1e-4  # largest difference of a logit from the network's; where logits exceed 1, times the largest of them
EXTRA = "dmt-ray[export]"
SIDE = 64  # of the images that a network is traced with, where no crop is known; that or a little more
AXES = {0: "batch", 2: "height", 3: "width"}
# What may vary, the most first: not every network can be traced with images of any size.
FREEDOMS: tuple[tuple[int, ...], ...] = ((0, 2, 3), (0,), ())


@dataclass(frozen=True)
class Graph:
    """A written graph."""

    format: Format
    path: Path
    varies: tuple[str, ...]  # of "batch", "height", "width"; the rest is fixed
    shape: tuple[int, int, int, int]  # of the images that it was traced with
    padding: Padding  # the sides that it takes
    difference: float  # largest, of a logit from the network's
    largest: float  # logit of the network, without its sign

    def __str__(self) -> str:
        fixed = [f"{name} {self.shape[axis]}" for axis, name in AXES.items() if name not in self.varies]
        multiple, rest = self.padding
        sides = f" (sides of a multiple of {multiple} pixels{f' plus {rest}' if rest else ''})" if multiple > 1 else ""
        takes = f"any {', '.join(self.varies)}{sides if 'height' in self.varies else ''}" if self.varies else ""
        return (
            f"{self.path.name}: {'; '.join(part for part in (takes, ', '.join(fixed)) if part)}; "
            f"largest difference from the network {self.difference:.1e}, of logits up to {self.largest:.3g}"
        )


class FromImages(nn.Module):
    """A network with its normalisation: float32 ``[N, C, H, W]`` in ``[0, 1]`` to logits."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, normalisation: Normalisation = IMAGENET) -> None:
        super().__init__()
        self.network = network
        for name, values in {"mean": normalisation.mean, "std": normalisation.std}.items():
            self.register_buffer(name, torch.as_tensor(values, dtype=torch.float32).reshape(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Logits of a batch."""
        logits: Tensor = self.network((images - self.mean) / self.std)
        return logits


def check_format(format: Format) -> None:
    """Raise a ConfigError if a format needs packages that are not installed."""
    if format == "onnx":
        from importlib.util import find_spec

        lacking = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
        if lacking:
            raise ConfigError(f"ONNX needs {', '.join(lacking)}; they come with: pip install '{EXTRA}'")


def write(network: nn.Module, info: ModelInfo, format: Format, path: Path, *, bound: float = BOUND) -> Graph:
    """Trace a network, write it, and compare what was written with the network on several shapes.

    Numbers and sizes of images vary where the network can be traced so: all of them, or else the number alone, or else
    nothing.

    Args:
        network: On the CPU.
        info: What is known of it.
        format: "onnx" or "pt2".
        path: The file to write.
        bound: Largest difference of a logit that is accepted; where logits exceed 1, times the largest of them, since
            rounding grows with them.

    Raises:
        ConfigError: If a package is not installed.
        ModelError: If the network cannot be exported in this format, or what was written gives other logits.
    """
    check_format(format)
    plain, padding = FromImages(network, info.normalisation).eval(), models.padding_of(network)
    side = info.size if info.task == "classification" and info.size else info.crop or (SIDE, SIDE)
    _, right, _, below = padding.of(*side)
    images = torch.rand(2, info.channels, side[0] + below, side[1] + right, generator=torch.Generator().manual_seed(0))
    traced = with_fixed_padding(plain, images)
    reasons = []
    for free in FREEDOMS:
        try:
            with _quiet():
                run = _WRITERS[format](_program(traced, images, free, padding), path)
                difference, largest = _difference(run, plain, images, free, padding)
        except Exception as error:  # tracers raise nearly every kind of error
            path.unlink(missing_ok=True)
            reasons.append(str(error).strip().partition("\n")[0] or type(error).__name__)
            continue
        if not difference <= bound * max(1.0, largest):
            path.unlink()
            raise ModelError(
                f"{info.name} as {format} gives other logits than the network: the largest difference is "
                f"{difference:.2e}, of logits up to {largest:.3g}; {bound * max(1.0, largest):.1e} is allowed. The "
                "file was removed"
            )
        varies = tuple(AXES[axis] for axis in free)
        return Graph(format, path, varies, tuple(images.shape), padding, difference, largest)  # type: ignore[arg-type]
    raise ModelError(f"{info.network} cannot be exported as {format}: {reasons[-1]}")


Run = Callable[[Tensor], Tensor]


def _shapes(images: Tensor, free: tuple[int, ...], padding: Padding) -> Iterator[tuple[int, ...]]:
    """Two sizes and two numbers of images, as far as they may vary."""
    count, channels, height, width = images.shape
    yield (count, channels, height, width)
    if 0 in free:
        yield (1, channels, height, width)
    if 2 in free:
        yield (count, channels, height + padding.multiple, width + 2 * padding.multiple)
        yield (1, channels, height + padding.multiple, width + 2 * padding.multiple)


@torch.no_grad()
def _difference(
    run: Run, plain: nn.Module, images: Tensor, free: tuple[int, ...], padding: Padding
) -> tuple[float, float]:
    """The largest difference of a logit, and the largest logit."""
    difference = largest = 0.0
    generator = torch.Generator().manual_seed(1)
    for shape in _shapes(images, free, padding):
        some = torch.rand(*shape, generator=generator)
        expected = plain(some)
        made = run(some)
        if made.shape != expected.shape:
            raise ValueError(f"it gives {tuple(made.shape)} and not {tuple(expected.shape)} for {shape}")
        difference = max(difference, float((made - expected).abs().max()))
        largest = max(largest, float(expected.abs().max()))
    return difference, largest


def _pt2(program: Any, path: Path) -> Run:
    torch.export.save(program, path)
    read: Any = torch.export.load(path).module()
    return read  # type: ignore[no-any-return]


def _onnx(program: Any, path: Path) -> Run:
    import onnxruntime

    names: dict[str, Any] = {"input_names": ["images"], "output_names": ["logits"]}
    torch.onnx.export(program, (), path, **names, dynamo=True, external_data=False, verbose=False)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(some: Tensor) -> Tensor:
        (logits,) = session.run(["logits"], {"images": some.numpy()})
        return torch.from_numpy(np.asarray(logits))

    return run


_WRITERS: dict[Format, Callable[[Any, Path], Run]] = {"onnx": _onnx, "pt2": _pt2}


def _program(plain: nn.Module, images: Tensor, free: tuple[int, ...], padding: Padding) -> Any:
    """The traced network, in which the dimensions `free` vary."""
    with torch.no_grad():
        return torch.export.export(plain, (images,), dynamic_shapes=(_dimensions(free, padding),) if free else None)


def _dimensions(free: tuple[int, ...], padding: Padding) -> dict[int, Any]:
    """What varies. Sides are said to be the multiples that the network takes: a tracer that has to find out for itself
    what follows from a side needs minutes for some networks, and gives up on others."""
    from torch.export import Dim

    dimensions: dict[int, Any] = {0: Dim("batch", min=1)}
    for axis in (2, 3):
        side = Dim.AUTO if padding == (1, 0) else padding.multiple * Dim(f"{AXES[axis]}_steps", min=1)
        dimensions[axis] = side + padding.rest if padding.rest else side
    return {axis: dimensions[axis] for axis in free}


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what tracers say of themselves."""
    loggers = [logging.getLogger(name) for name in ("torch", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
