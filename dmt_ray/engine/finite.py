"""What is wrong with a network whose output is not finite, for people: no such output may count as a class."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

ADVICE = "Train the model again with a smaller learning rate, or with precision float32."


def fault(network: nn.Module, inputs: Tensor | None = None) -> str:
    """The first of a network's weights or statistics that is not finite; else the first layer whose output is not.

    Args:
        network: The network.
        inputs: What it is given when layers are to be looked at; None: weights and statistics alone.

    Returns:
        A sentence without its full stop; "" if there is nothing.
    """
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and (count := int((~tensor.isfinite()).sum())):
            return f"{name} holds {count:,} of {tensor.numel():,} values that are not finite"
    if inputs is None:
        return ""
    faults: list[str] = []
    handles = [
        module.register_forward_hook(_watch(name, faults))
        for name, module in network.named_modules()
        if _is_leaf(module)
    ]
    try:
        with torch.inference_mode():
            network(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return faults[0] if faults else ""


def _is_leaf(module: nn.Module) -> bool:
    return next(module.children(), None) is None


def _watch(name: str, faults: list[str]) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
    def watch(module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        if faults or not isinstance(output, Tensor) or bool(output.isfinite().all()):
            return
        ranges = [f"its input lies {_range(given[0])}"] if given and isinstance(given[0], Tensor) else []
        ranges += [f"its {of} lies {_range(tensor)}" for of, tensor in module.named_buffers() if tensor.dim()]
        what = f"the layer {name} ({type(module).__name__}) is the first whose output is not finite"
        faults.append(", ".join([what, *ranges]))

    return watch


def _range(tensor: Tensor) -> str:
    return f"between {float(tensor.min()):.3g} and {float(tensor.max()):.3g}"
